"""The next study: narrower where the evidence is, wider at a bound, and a file that is a study."""

import dataclasses

import pytest
from test_protocol import run
from toy import SPACE, Toy, make_plan

from mnist_core.errors import UserError
from search_spaces.space import Choice, Float, Space, When
from studies.analysis import stored_study
from studies.analysis.refinement import refine
from studies.analysis.study_file import study_file
from studies.protocol import phases
from studies.spec import StudySpec


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})


@pytest.fixture
def refined(tmp_path):
    plan = make_plan(tmp_path, trials=36)
    run(plan, toy=Toy(noise=0.0001))
    found = stored_study.read(plan)
    return plan, found, refine(found.result, found.search)


def as_study(text: str) -> StudySpec:
    names: dict[str, object] = {}
    exec(compile(text, "refined.py", "exec"), names)
    return names["STUDY"]


def test_what_is_worse_is_left_out_and_ranges_are_cut(refined):
    _, found, made = refined
    best = found.result.best_row.candidate
    assert made.baseline == best.choice and any(
        line.startswith("adagrad: ") for line in made.dropped
    )
    assert "adagrad" not in made.defaults and "adagrad.lr" not in made.parameters
    name = f"{best.choice}.lr"
    old, new = SPACE.parameters[name], made.parameters[name]
    assert old.low <= new.parameter.low <= best.params[name] <= new.parameter.high <= old.high
    assert new.parameter.high / new.parameter.low < old.high / old.low and new.why


def test_the_file_is_a_study_whose_defaults_are_what_was_confirmed(refined):
    plan, found, made = refined
    spec = as_study(study_file(plan, made, "toy_refined"))
    assert spec.name == "toy_refined" and spec.baseline == made.baseline
    assert spec.space == Space({name: one.parameter for name, one in made.parameters.items()})
    for row in found.result.rows:
        if row.candidate and not row.candidate.default and row.label in map(str, made.defaults):
            assert spec.default_of(row.candidate.choice) == dict(row.candidate.params)


def test_a_bound_that_holds_a_leading_value_is_widened(tmp_path):
    plan = make_plan(tmp_path, trials=36)
    # The toy is best at lr 0.01, beyond these ranges.
    narrow = {
        name: dataclasses.replace(one, high=0.005) if isinstance(one, Float) else one
        for name, one in SPACE.parameters.items()
    }
    defaults = {choice: {f"{choice}.lr": 0.005} for choice in plan.spec.choices}
    spec = dataclasses.replace(plan.spec, space=Space(narrow), defaults=defaults)
    plan = dataclasses.replace(plan, spec=spec)
    run(plan, toy=Toy(noise=0.0))
    found = stored_study.read(plan)
    made = refine(found.result, found.search)
    name = f"{made.baseline}.lr"
    assert made.parameters[name].parameter.high > 0.005 and "bound" in made.parameters[name].why


def test_a_goal_from_the_database_is_text_and_never_code(refined):
    plan, _, made = refined
    goal = 'Best?""" + str(1 / 0) + """\\'
    spec = dataclasses.replace(plan.spec, goal=goal)
    text = study_file(dataclasses.replace(plan, spec=spec), made, "toy_refined")
    assert as_study(text).goal == goal


def won_by_the_default(found, *kept):
    """The result as if the default of adam had won and only ``kept`` might be as good."""
    judged = found.result.verdicts.configurations
    worse = tuple(row.label for row in found.result.rows if row.label not in kept)
    compared = dataclasses.replace(judged.comparison, best="adam (default)", worse=worse)
    judged = dataclasses.replace(judged, comparison=compared)
    verdicts = dataclasses.replace(found.result.verdicts, configurations=judged, choices=judged)
    return dataclasses.replace(found.result, best="adam (default)", verdicts=verdicts)


def test_the_default_of_a_choice_that_is_left_out_may_be_best(refined):
    plan, found, _ = refined
    made = refine(won_by_the_default(found, "sgd"), found.search)
    assert made.baseline == "sgd" and set(made.defaults) == {"sgd"}
    assert as_study(study_file(plan, made, "toy_refined")).baseline == "sgd"
    with pytest.raises(UserError, match="default"):
        refine(won_by_the_default(found), found.search)


def test_nothing_confirmed_is_one_line(tmp_path):
    plan = make_plan(tmp_path)
    run(plan)
    found = stored_study.read(plan)
    nothing = dataclasses.replace(found.result, best=None, rows=())
    with pytest.raises(UserError, match="confirmed nothing"):
        refine(nothing, found.search)


def test_conditions_keep_only_values_that_are_left(refined):
    plan, _, made = refined
    kept = made.parameters[plan.spec.scientific].parameter
    assert isinstance(kept, Choice)
    for one in made.parameters.values():
        if one.parameter.when is not None:
            assert isinstance(one.parameter.when, When)
            assert set(one.parameter.when.values) <= set(kept.choices)
