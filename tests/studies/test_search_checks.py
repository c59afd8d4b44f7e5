"""Combinations of sampler, pruner, space and budget: refused in one line, or said in one."""

import dataclasses
import math
import re

import pytest

from mnist_core.errors import ConfigError
from search_spaces.space import Int, Space
from studies import catalog
from studies.planning.plan import resolve
from studies.search.enqueued import read_enqueued_files
from studies.search.pruners import PRUNERS
from studies.search.sampler_kinds import SAMPLERS
from studies.search.search_checks import (
    check_search,
    goal_notes,
    notes,
)


def plan_of(study="optim_search", quick=False, **sets):
    return resolve(study, sets={key.replace("__", "."): v for key, v in sets.items()}, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("study", catalog.names())
def test_the_catalog_passes_in_silence(study, quick):
    plan = plan_of(study, quick)
    check_search(plan)
    assert notes(plan) == [*goal_notes(plan.goals, plan.settings)]


@pytest.mark.parametrize(
    ("search", "part"),
    [
        ({"sampler": "tpa"}, "did you mean 'tpe'"),
        ({"pruner": "medan"}, "did you mean 'median'"),
        ({"pruner": "threshold"}, "needs lower or upper"),
        (
            {"pruner": "threshold", "pruner_options": {"upper": 0.99}},
            "upper would stop the best trials, as val_accuracy is to be maximized; set lower",
        ),
        (
            {
                "pruner": "patient",
                "pruner_options": {"wrapped": "threshold", "wrapped_options": {"upper": 0.9}},
            },
            "upper would stop the best",
        ),
        (
            {"pruner": "freeze_thaw", "trials_complete": 9},
            "freeze_thaw: a paused trial may still be complete",
        ),
        (
            {"pruner": "freeze_thaw", "objectives": {"parameters": "minimize"}},
            "freeze_thaw: it ranks trials by one objective, but the study has several",
        ),
        ({"pruner": "wilcoxon"}, "wilcoxon compares values of separate instances"),
        (
            {"pruner": "hyperband", "pruner_options": {"max_resource": 30}},
            "max_resource is 30, but a trial makes 6 reports",
        ),
        (
            {"pruner": "hyperband", "pruner_options": {"min_resource": 4}},
            "too few for two brackets with min_resource 4 and reduction_factor 3; raise epochs",
        ),
        ({"pruner": "hyperband", "pruner_options": {"min_resource": 0}}, "hyperband"),
        ({"pruner": "hyperband", "pruner_options": {"reduction_factor": 1}}, "hyperband"),
        ({"sampler": "grid"}, "sgd.lr, momentum.lr, nesterov.lr and 11 more are continuous"),
        ({"sampler": "grid", "sampler_options": {"points": 90}}, "points, more than"),
        (
            {"sampler": "nsga2", "sampler_options": {"population_size": 20}},
            "it would never leave its first random generation; set it to 4",
        ),
        (
            {"pruner": "threshold", "pruner_options": {"lower": 95}},
            "lower must be at most 1, as val_accuracy is a share, but got 95; write",
        ),
        ({"stop": {"target": 99.0}}, "search.stop.target must be at most 1, as val_accuracy"),
        ({"pruner": "threshold", "pruner_options": {"lower": math.nan}}, "lower must be a finite"),
        ({"sentinels": 2.5}, "must be a whole number, or a share below 1, but got 2.5"),
        ({"enqueue": ["nowhere.toml"]}, "--enqueue nowhere.toml: cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(search, part):
    plan = plan_of(**{f"search__{name}": value for name, value in search.items()})
    with pytest.raises(ConfigError, match=part) as caught:
        check_search(plan)
    assert "\n" not in str(caught.value)


def test_bounds_follow_the_direction():
    plan = plan_of(search__pruner="threshold", search__pruner_options={"upper": 3.0})
    spec = dataclasses.replace(plan.spec, metric="val_loss", direction="minimize")
    check_search(dataclasses.replace(plan, spec=spec))
    plan = plan_of(search__pruner="threshold", search__pruner_options={"lower": 0.1})
    check_search(plan)
    with pytest.raises(ConfigError, match="lower would stop the best"):
        check_search(dataclasses.replace(plan, spec=spec))


def test_steps_that_are_instances_are_wilcoxons():
    def of(pruner, **options):
        plan = plan_of(search__pruner=pruner, search__pruner_options=options)
        return dataclasses.replace(plan, spec=dataclasses.replace(plan.spec, steps="instances"))

    check_search(of("wilcoxon", p_threshold=0.2))
    check_search(of("none"))
    for pruner in ("median", "hyperband", "successive_halving", "patient"):
        with pytest.raises(ConfigError, match=f"search.pruner: {pruner} .* wilcoxon"):
            check_search(of(pruner))


@pytest.mark.parametrize("sampler", ["random", "qmc", "screen", "tpe", "gp", "cmaes", "nsga2"])
@pytest.mark.parametrize("study", ["optim_search", "siamese_search", "architecture_search"])
def test_each_sampler_takes_each_kind_of_space(study, sampler):
    check_search(plan_of(study, search__sampler=sampler))


@pytest.mark.parametrize(
    ("search", "part"),
    [
        (
            {"sampler": "grid", "sampler_options": {"points": 3}},
            "of its 828 points 60 trials",
        ),
        ({"sampler": "qmc"}, "qmc: about 6 trials for each of 9 branches"),
        ({"sampler": "gp", "pruner": "none"}, "gp: one model of all branches"),
        ({"sampler": "cmaes"}, "l2, adamw.weight_decay, schedule.name drawn at random"),
        ({"sampler": "cmaes"}, "random search; raise search.trials"),
        ({"sampler": "nsga2"}, "nsga2: it works in each combination"),
        ({"pruner": "none", "sentinels": 4}, "nothing is pruned, so every trial is one"),
        (
            {"pruner": "patient", "pruner_options": {"patience": 4}},
            "patient: a trial makes 6",
        ),
        (
            {"pruner": "successive_halving", "pruner_options": {"min_resource": 6}},
            "successive_halving: a trial makes 6 reports",
        ),
        ({"pruner_options": {"n_warmup_steps": 6}}, "median: a trial makes 6 reports"),
        ({"pruner_options": {"n_startup_trials": 9}}, "once a choice has 9 complete trials"),
    ],
)
def test_what_works_otherwise_than_one_may_think_is_said(search, part):

    plan = plan_of(**{f"search__{name}": value for name, value in search.items()})
    check_search(plan)
    said = notes(plan)
    assert any(re.search(part, text) for text in said), said
    assert all("\n" not in text for text in said)


def test_a_new_pruner_or_sampler_is_one_entry(monkeypatch):
    halving = dataclasses.replace(PRUNERS["successive_halving"], defaults={"reduction_factor": 2})
    monkeypatch.setitem(PRUNERS, "halving", halving)
    monkeypatch.setitem(SAMPLERS, "drawn", dataclasses.replace(SAMPLERS["random"], several=False))
    plan = plan_of(search__pruner="halving", search__sampler="drawn")
    check_search(plan)
    assert notes(plan) == [*goal_notes(plan.goals, plan.settings)]
    plan = plan_of(search__sampler="drawn", search__objectives={"parameters": "minimize"})
    with pytest.raises(ConfigError, match=r"search.sampler: drawn .* use one of random"):
        check_search(plan)


def test_a_balanced_sobol_sequence_and_a_grid_that_ends():
    assert notes(plan_of(search__sampler="qmc", search__trials=72)) == []
    options = {"points": 2, "schedule": {"name": ["constant"]}, "l2": [0.0]}
    plan = plan_of(search__sampler="grid", search__sampler_options=options, search__trials=500)
    (text,) = notes(plan)
    assert text.startswith("grid: it ends after ") and "search.trials is 500" in text


def test_reports_of_a_trial():
    plan = plan_of(epochs=4, reports_per_epoch=3)
    assert plan.adapter.reports == 12


def test_enqueued_configurations_are_read_in_order(tmp_path):
    files = []
    for index, lr in enumerate((0.1, 0.2)):
        files.append(tmp_path / f"{index}.toml")
        files[-1].write_text(
            f'optim.name = "sgd"\nsgd.lr = {lr}\nl2 = 0.0\nschedule.name = "cosine"\n'
        )
    plan = plan_of(search__enqueue=[str(file) for file in files])
    check_search(plan)
    known = read_enqueued_files(plan.settings.search.enqueue, plan.spec.space)
    assert [one.params["sgd.lr"] for one in known] == [0.1, 0.2]


def test_what_cannot_be_paused_is_refused_in_one_line():
    def refused(part, plan):
        with pytest.raises(ConfigError, match=f"freeze_thaw: .*{part}") as caught:
            check_search(plan)
        assert "\n" not in str(caught.value)

    thaw = {"search__pruner": "freeze_thaw"}
    check_search(plan_of(**thaw))
    refused("asha", plan_of(**thaw, engine__name="ray", engine__ray__scheduler="asha"))
    refused("checkpoint_seconds", plan_of(**thaw, engine__checkpoint_seconds=0))
    plan = plan_of(**thaw)
    refused("not a trainer", dataclasses.replace(plan, spec=replaced(plan, objective="my_own")))
    longer = {**plan.spec.space.parameters, "epochs": Int(1, 9)}
    defaults = {name: {**one, "epochs": 6} for name, one in plan.spec.defaults.items()}
    spec = replaced(plan, space=Space(longer), defaults=defaults)
    refused("number of reports differs", dataclasses.replace(plan, spec=spec))


def replaced(plan, **changes):
    return dataclasses.replace(plan.spec, **changes)


def test_a_pausing_pruner_says_where_it_pauses():
    (said,) = [note for note in notes(plan_of(search__pruner="freeze_thaw")) if "freeze" in note]
    assert "paused at report 3 of 6" in said
    (said,) = notes(plan_of(search__pruner="freeze_thaw", epochs=1))
    assert "cannot save anything" in said
