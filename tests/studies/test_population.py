"""The record of a population, what it can be made of, and how a report shows it; without Ray."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from population_toy import population_plan

from mnist_core.errors import ConfigError, UserError
from objectives.base import CHANGES, Task
from search_spaces.space import Choice, Float, Space
from studies.core.attributes import LINEAGE, POPULATION, SCHEDULE
from studies.core.trials import TrialRecord
from studies.ledger.joining import check_joinable
from studies.planning.plan import resolve
from studies.protocol.fork import fork
from studies.report.blocks import Figures, Table
from studies.report.sections.population import section
from studies.search.population import (
    Lineage,
    Population,
    as_one_training,
    check_kind,
    check_population,
    configuration,
    stages,
)

SPACE = Space({"kind": Choice(("a",), sets="optim.name"), "rate": Float(0.0, 1.0, sets="optim.lr")})
SETTINGS = {"members": 3, "interval": 2}


def refusal(plan):
    """Return the line with which ``plan`` is refused."""
    with pytest.raises(ConfigError) as error:
        check_population(plan)
    assert "\n" not in str(error.value)
    return str(error.value)


def task(number):
    return Task(number=number, params={"kind": "a", "rate": number / 10}, seed=100 + number)


@pytest.fixture
def population():
    """1 copied 2 after two epochs, 0 copied 1 after four, and 1 copied 0 after six."""
    made = Population(SPACE, SETTINGS, None)
    for number in range(3):
        made.join(task(number))
    for epoch, member, source in ((2, 1, 2), (4, 0, 1), (6, 1, 0)):
        made.copy(member, source, epoch=epoch, params={"rate": epoch / 100})
        made.end_generation(epoch, {0: 0.1, 1: 0.2, 2: 0.3})
    return made


def record_of(population, number):
    values = {"value": 0.5, "curve": {1: 0.4, 2: 0.5, 4: 0.5, 6: 0.5, 7: 0.5}, "metrics": {}}
    return TrialRecord(
        number=number,
        state="COMPLETE",
        params=task(number).params,
        seed=task(number).seed,
        seconds=1.0,
        attributes=population.attributes(task(number), reports_per_epoch=1),
        **values,
    )


def test_a_member_is_one_training_whomever_it_copied(population):
    lineage = population.join(task(1))
    assert (lineage.params, lineage.seed) == ({"kind": "a", "rate": 0.2}, 102)  # began as 2
    assert [change["epoch"] for change in lineage.changes] == [2, 4, 6]
    assert [change["optim.lr"] for change in lineage.changes] == [0.02, 0.04, 0.06]
    assert population.now(1) == {"kind": "a", "rate": 0.06}
    one = lineage.task(task(1))
    assert (one.number, one.seed, one.params["rate"]) == (1, 102, 0.2)
    assert len(one.params[CHANGES]) == 3
    assert population.join(task(2)).task(task(2)) == task(2)  # copied nobody


def test_the_schedule_is_the_members_own(population):
    record = record_of(population, 1)
    assert record.attributes[SCHEDULE] == [
        {"epoch": 0, "params": {"kind": "a", "rate": 0.1}},
        {"epoch": 2, "source": 2, "params": {"kind": "a", "rate": 0.02}},
        {"epoch": 6, "source": 0, "params": {"kind": "a", "rate": 0.06}},
    ]
    assert stages(record, SPACE) == [
        (0, {"kind": "a", "rate": 0.2}),
        (2, {"kind": "a", "rate": 0.02}),
        (4, {"kind": "a", "rate": 0.04}),
        (6, {"kind": "a", "rate": 0.06}),
    ]
    assert configuration(record)[CHANGES] == record.attributes[LINEAGE]["changes"]
    assert as_one_training(record).seed == 102
    alone = record_of(population, 2)
    assert LINEAGE not in alone.attributes
    assert as_one_training(alone) == alone
    assert stages(alone, SPACE) == [(0, alone.params)]


def test_it_goes_on_from_its_record(population):
    kept = json.loads(json.dumps(population.record()))
    again = Population(SPACE, SETTINGS, kept)
    assert again.step == 6
    assert again.record() == kept
    for number in range(3):
        assert again.join(task(number)) == population.join(task(number))
    assert Population(SPACE, SETTINGS, None).step == 0


def test_other_settings_are_refused(population):
    with pytest.raises(UserError, match=r"interval.*2.*3"):
        Population(SPACE, {**SETTINGS, "interval": 3}, population.record())


def test_a_population_is_no_search_of_single_trials(population, tmp_path):
    plan = population_plan(tmp_path)
    kept = {POPULATION: population.record()}
    check_kind(plan.name, kept, plan.settings)
    single = resolve("pbt_search", sets={"engine.ray.scheduler": "book", "engine.name": "local"})
    check_kind(single.name, {}, single.settings)
    with pytest.raises(ConfigError, match="pbt"):
        check_kind(single.name, kept, single.settings)
    with pytest.raises(ConfigError, match="population"):
        check_joinable(plan.settings, None)
    with pytest.raises(UserError, match="--fresh"):
        fork(plan, "", say=str)


def test_a_lineage_changes_by_settings_not_by_names():
    lineage = Lineage(params={"kind": "a", "rate": 0.5}, seed=1)
    changed = lineage.changed(SPACE, 3, {"rate": 0.25})
    assert changed.changes == [{"epoch": 3, "optim.lr": 0.25}]
    assert lineage.changes == ()


def test_the_study_of_the_catalog_is_one():
    check_population(resolve("pbt_search", sets={}))
    check_population(resolve("pbt_search", sets={}, quick=True))
    check_population(resolve("optim_search", sets={}))


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"engine.name": "local"}, "is run by Ray Tune alone; use --engine ray, but got local"),
        (
            {"search.pruner": "median"},
            "search.pruner: a population runs as a whole, to its end, so",
        ),
        ({"search.order": "batch"}, "it must be async, but got batch"),
        ({"search.stop.patience": 3}, "search.stop.patience: a population runs as a whole"),
        ({"engine.trial_seconds": 3.0}, "engine.trial_seconds: "),
        ({"early_stopping": 3}, "train.early_stopping: "),
        ({"engine.ray.pbt_interval": 12}, "must be below the 12 epochs of a training, but got 12"),
        ({"search.trials": 1}, "search.trials: a population has 2 members or more, not 1"),
    ],
)
def test_what_a_population_cannot_do_is_one_line(sets, said):
    plan = resolve("pbt_search", sets=sets)
    assert said in refusal(plan)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optim_search", "so optim.name must have one choice, but study optim_search compares 9"),
        ("size_search", "engine.ray.scheduler: pbt "),
    ],
)
def test_a_study_whose_parameters_cannot_change_is_refused(name, said):
    sets = {"engine.name": "ray", "engine.ray.scheduler": "pbt", "search.pruner": "none"}
    plan = resolve(name, sets=sets)
    assert said in refusal(plan)


def test_a_parameter_that_cannot_change_is_named(tmp_path):
    plan = population_plan(tmp_path)
    space = Space({**plan.spec.space.parameters, "model.dropout": Float(0.0, 0.5)})
    default = {"adamw": {**plan.spec.defaults["adamw"], "model.dropout": 0.1}}
    spec = dataclasses.replace(plan.spec, space=space, defaults=default)
    message = refusal(dataclasses.replace(plan, spec=spec))
    assert "changes hyperparameters midway, which model.dropout cannot" in message


def test_the_report_shows_who_copied_whom_and_each_value(population, tmp_path):
    plan = population_plan(tmp_path)
    spec = SimpleNamespace(
        space=SPACE, scientific="kind", metric="val_accuracy", direction="maximize"
    )
    made = SimpleNamespace(spec=spec, adapter=plan.adapter, goals=plan.goals)
    result = SimpleNamespace(plan=made)
    records = [record_of(population, number) for number in range(3)]
    records[1] = dataclasses.replace(records[1], value=0.9)
    shown = section(SimpleNamespace(result=result, search=records))
    (copies,) = [one for one in shown.blocks if isinstance(one, Table)]
    (descent,), schedules = [one.items for one in shown.blocks if isinstance(one, Figures)]
    assert [row[:2] for row in copies.rows] == [
        ("2", "trial 1"),
        ("4", "trial 0"),
        ("6", "trial 1"),
    ]
    assert copies.rows[0][3:] == ("trial 2", "50.00 %", "rate=0.02")
    assert "after epoch 4 trial 0 continued from trial 1" in descent.svg
    assert [figure.title for figure in schedules] == ["rate"]
    # From the end of 1 back over 0, 1 and 2, where it began.
    assert descent.svg.count("line best") == 1
    best = descent.svg.partition('class="line best" d="')[2].partition('"')[0]
    assert best.count("L") == 7
    assert section(SimpleNamespace(result=result, search=[])) is None
