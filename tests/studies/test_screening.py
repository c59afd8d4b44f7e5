"""The sampler ``screen``: choices are balanced, then shared; numbers close in on the best."""

from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from search_spaces.space import Choice, Float, Int, Space, When
from studies.search.optuna_bridge import suggest
from studies.search.samplers import Search, create_sampler

KINDS = ("a", "b", "c")
PLANS = ("flat", "wave", "ramp")
SPACE = Space(
    {
        "kind": Choice(KINDS),
        "a.x": Float(1e-4, 1.0, log=True, when=When("kind", ("a",))),
        "b.x": Float(0.0, 2.0, step=0.1, when=When("kind", ("b",))),
        "c.x": Int(1, 100, log=True, when=When("kind", ("c",))),
        "plan": Choice(PLANS),
    }
)


def searched(trials, value, *, seed=0, directions=("maximize",), state=None):
    """Params of trials whose kinds take turns, and whose values are ``value(params)``."""
    search = Search(space=SPACE, scientific="kind", seed=seed, trials=trials)
    study = optuna.create_study(study_name="s", directions=directions)
    found = []
    for number in range(trials):
        study.enqueue_trial({"kind": KINDS[number % 3]})
        study.sampler = create_sampler("screen", {}, search, seed=number)
        trial = study.ask()
        params = suggest(SPACE, trial)
        SPACE.check(params)
        found.append(params)
        if state is None:
            study.tell(trial, value(params))
        else:
            study.tell(trial, state=state)
    return found


def of(found, kind, name="plan"):
    return [params[name] for params in found if params["kind"] == kind]


@pytest.mark.parametrize("seed", range(4))
def test_each_branch_and_each_round_begin_with_every_value_once(seed):
    found = searched(9, lambda params: 0.0, seed=seed)
    for kind in KINDS:
        assert set(of(found, kind)) == set(PLANS)
    for first in (0, 3, 6):
        assert {params["plan"] for params in found[first : first + 3]} == set(PLANS)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("leader", PLANS)
def test_then_all_take_the_value_that_leads_in_all_branches_together(direction, leader):
    sign = 1 if direction == "maximize" else -1
    level = {"a": 0.0, "b": 50.0, "c": -50.0}  # of a branch: it says nothing of a plan

    def value(params):
        return sign * (level[params["kind"]] + (params["plan"] == leader))

    found = searched(18, value, directions=(direction,))
    assert {params["plan"] for params in found[9:]} == {leader}


def test_without_values_or_with_several_objectives_choices_stay_balanced():
    failed = searched(18, None, state=TrialState.FAIL)
    several = searched(18, lambda params: (1.0, 2.0), directions=("maximize", "minimize"))
    for found in (failed, several):
        for kind in KINDS:
            assert set(Counter(of(found, kind)).values()) == {2}


def test_numbers_fill_the_range_first_and_then_a_box_around_the_best():
    def value(params):
        return -abs(params.get("b.x", 0.0) - 1.9)

    found = of(searched(60, value), "b", "b.x")
    assert min(found[:5]) < 0.7
    assert min(found[5:]) >= 0.75 and max(found[5:]) > 1.8  # .6 of the range, kept inside of it


def test_a_search_repeats_itself_and_another_seed_is_another_search():
    def value(params):
        return float(params["plan"] == "wave")

    assert searched(24, value) == searched(24, value)
    assert searched(24, value) != searched(24, value, seed=1)
