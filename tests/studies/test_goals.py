"""Objectives and limits by themselves: what is over, who beats whom, what samplers are shown."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from mnist_core.errors import ConfigError
from studies.analysis.pareto import dominates, front_of, spread
from studies.core.attributes import FAILURE
from studies.core.goals import Goals
from studies.core.trials import TrialRecord
from studies.search.study_views import as_no_better, tpe_view

GOALS = Goals(
    metric="val_accuracy",
    further={"parameters": "minimize"},
    limits={"parameters": 300_000, "seconds": 10},
)


def record(number, *values, excess=0.0, **params):
    return TrialRecord(
        number=number,
        state="COMPLETE",
        params=params or {"x": number},
        seed=number,
        value=values[0],
        curve={},
        metrics={},
        seconds=1.0,
        values=values,
        excesses={"parameters": excess},
    )


def test_what_is_over_a_limit():
    assert GOALS.names == ("val_accuracy", "parameters")
    assert GOALS.directions == ("maximize", "minimize")
    assert GOALS.excesses({"parameters": 450_000.0}) == {"parameters": 0.5}
    assert GOALS.over({"parameters": 1_200_000.0}) == "1,200,000 parameters > 300,000"
    assert GOALS.over({"parameters": 300_000.0, "seconds": 9.9}) == ""
    assert GOALS.over({"seconds": 12.5}) == "12.5 seconds > 10"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"further": {"paramters": "minimize"}},
            "search.objectives: unknown name 'paramters'; did you mean 'parameters'?",
        ),
        ({"limits": {"flops": 1.0}}, "search.constraints: unknown name 'flops'"),
        ({"limits": {"seconds": 0.0}}, "search.constraints.seconds must be above 0"),
        ({"further": {"seconds": "down"}}, "search.objectives.seconds must be 'minimize'"),
    ],
)
def test_goals_that_are_none(change, said):
    with pytest.raises(ConfigError) as error:
        Goals(**{"metric": "val_accuracy", **change})
    assert str(error.value).startswith(said)


POINTS = st.lists(
    st.tuples(*[st.integers(0, 6).map(float)] * 3), min_size=1, max_size=25
)  # few values, so that there are ties


@given(POINTS)
def test_the_front_is_optunas(points):
    directions = ("maximize", "minimize", "minimize")
    goals = Goals(metric="m", further={"parameters": "minimize", "seconds": "minimize"})
    study = optuna.create_study(directions=list(directions))
    study.add_trials([create_trial(values=list(point)) for point in points])
    found = front_of(goals, [record(number, *point) for number, point in enumerate(points)])
    assert {r.number for r in found} == {trial.number for trial in study.best_trials}
    assert [r.values[0] for r in found] == sorted((r.values[0] for r in found), reverse=True)


def test_the_front_is_of_feasible_trials_and_of_each_configuration_once():
    records = [
        record(0, 0.9, 100.0, x=1),
        record(1, 0.99, 50.0, excess=0.1),
        record(2, 0.8, 90.0),
        record(3, 0.95, 100.0, x=1),  # another seed
        record(4, 0.7, 95.0),  # beaten by 2
    ]
    assert [r.number for r in front_of(GOALS, records)] == [3, 2]


def test_one_dominates_another():
    signs = GOALS.signs
    assert dominates((0.9, 10), (0.9, 11), signs)
    assert not dominates((0.9, 10), (0.9, 10), signs)
    assert not dominates((0.9, 12), (0.8, 10), signs)


@given(st.integers(1, 40), st.integers(1, 12))
def test_a_part_of_a_front_is_spread_along_it(size, most):
    front = [record(number, float(-number), float(number)) for number in range(size)]
    part = spread(front, most)
    assert len(part) == len({r.number for r in part}) == min(size, most)
    assert part[0] is front[0] and (most == 1 or part[-1] is front[-1])


def trials():
    infeasible = create_trial(state=TrialState.FAIL, user_attrs={FAILURE: {"kind": "Infeasible"}})
    infeasible.set_constraint("parameters", 0.5)
    return [
        create_trial(values=[0.9, 100.0]),
        create_trial(values=[0.8, 50.0]),
        create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.95}),
        infeasible,
        create_trial(state=TrialState.FAIL, user_attrs={FAILURE: {"kind": "WorkerLost"}}),
    ]


def test_tpe_sees_infeasible_trials_and_no_curves_that_it_cannot_rank():
    before = trials()
    seen = tpe_view(before, [StudyDirection.MAXIMIZE] * 2)
    states = ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "FAIL"]
    assert [trial.state.name for trial in seen] == states
    assert seen[2].intermediate_values == {} and before[2].intermediate_values == {1: 0.95}
    assert seen[3].constraints == {"parameters": 0.5}
    assert before[3].state is TrialState.FAIL
    assert tpe_view(before, [StudyDirection.MAXIMIZE])[2] is before[2]


def test_others_see_pruned_and_infeasible_trials_as_no_better_than_the_worst():
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    seen = as_no_better(trials(), directions)
    assert [trial.values for trial in seen[2:4]] == [[0.8, 100.0]] * 2
    assert seen[4].state is TrialState.FAIL
    assert as_no_better(trials()[2:], directions)[0].state is TrialState.PRUNED
