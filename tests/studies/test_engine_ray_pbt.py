"""A population on Ray: what is recorded is what was done, and can be done again."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from population_toy import EPOCHS, Walk, population_plan, walk
from waiting import patient_ray, until

from mnist_core.config import DataConfig
from mnist_core.data import idx, load
from objectives.base import Task
from objectives.classification import Classification
from studies import engines
from studies.analysis.candidates import candidates
from studies.core.attributes import POPULATION, SCHEDULE
from studies.core.trials import TrialRecord
from studies.engines.base import Engine, Resources
from studies.engines.ray.cluster import Cluster
from studies.ledger.opening import open_search
from studies.planning.layout import states_folder
from studies.planning.plan import Plan
from studies.protocol.checkpoints import RunningStates
from studies.protocol.objective import build_objective
from studies.search.population import as_one_training
from studies.storage.open import close_storage, open_storage

pytestmark = [pytest.mark.slow, pytest.mark.long]
HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with patient_ray(), Cluster("", cpus=2, gpus=0) as started:
        yield started


@dataclass
class Ran:
    """What a population came to."""

    plan: Plan
    records: list[TrialRecord]
    record: dict[str, Any]
    trace: dict[int, list[list[float]]]

    def told(self) -> list[tuple[object, ...]]:
        """Return what must be the same in every run."""
        return [(r.number, r.state, r.seed, r.params, r.value, r.curve) for r in self.records]


def ray_engine(plan: Plan) -> Engine:
    resources = Resources(ray=plan.settings.engine.ray)
    return engines.create("ray", workers=2, threads=1, resources=resources)


def run(folder: Path, address: str = "", **how: object) -> Ran:
    plan = population_plan(folder, **{"engine.ray.address": address})
    plan.folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(plan.storage_url, create=True)
    with ray_engine(plan) as engine:
        plan = engines.adapted(plan, engine)
        with open_search(plan, storage) as book:
            engine.run(book, walk(plan, folder / "trace", **how))
            records, record = book.records(), book.study.user_attrs[POPULATION]
    close_storage(storage)
    return Ran(plan, records, record, traces(folder))


def done_again(record: TrialRecord, folder: Path) -> float:
    """Return what the one training that ``record`` is comes to, from its begin, without Ray."""
    (folder / "again").mkdir(exist_ok=True)
    one = as_one_training(record)
    task = Task(number=record.number, params=one.params, seed=one.seed)
    walked = Walk(folder / "states again", folder / "again")(task, lambda step, metrics: None)
    return float(walked.metrics["val_accuracy"])


def traces(folder: Path) -> dict[int, list[list[float]]]:
    return {
        int(file.name): [json.loads(line) for line in file.read_text().splitlines()]
        for file in (folder / "trace").iterdir()
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Ran:
    """A whole run; the worker of member 2 is killed in the second generation."""
    return run(tmp_path_factory.mktemp("population"), dies=2)


def test_all_members_run_to_the_end_and_the_default_stays_what_it_is(ran):
    assert [record.state for record in ran.records] == ["COMPLETE"] * 6
    assert [record.attempt for record in ran.records] == [0, 0, 1, 0, 0, 0]
    assert all(list(record.curve) == list(range(1, EPOCHS + 1)) for record in ran.records)
    assert [one["step"] for one in ran.record["generations"]] == [2, 4, 6]
    assert len(ran.records[0].attributes[SCHEDULE]) == 1
    assert not (ran.plan.folder / "checkpoints" / "tune").exists()


def test_who_copies_is_among_the_worst_and_whom_among_the_best(ran):
    for generation in ran.record["generations"]:
        values = {int(number): value for number, value in generation["values"].items()}
        assert values == {r.number: r.curve[generation["step"]] for r in ran.records}
        ranked = sorted(values, key=lambda number: (values[number], number))
        assert {copy["source"] for copy in generation["copies"]} <= set(ranked[3:])
        copied = {copy["member"] for copy in generation["copies"]}
        assert copied == set(ranked[:3]) - {0}
        space = ran.plan.spec.space
        for copy in generation["copies"]:
            space.check({"optim.name": "adamw", **copy["params"]})


def test_what_is_recorded_was_done(ran):
    """From the workers' own trace: rates, and the very state that was copied."""
    for record in ran.records:
        schedule = record.attributes[SCHEDULE]
        done = {int(line[0]): line for line in ran.trace[record.number]}  # the last time
        for epoch in range(1, EPOCHS + 1):
            now = [one for one in schedule if one["epoch"] < epoch][-1]
            assert done[epoch][1] == now["params"]["optim.lr"]
            assert done[epoch][3] == record.curve[epoch]
        for one in schedule[1:]:
            source = ran.records[one["source"]]
            assert done[one["epoch"] + 1][2] == source.curve[one["epoch"]]
        assert "went_on_from_report" not in record.attributes


def test_each_member_is_one_training_that_can_be_done_again(ran, tmp_path):
    assert [done_again(record, tmp_path) for record in ran.records] == [
        record.value for record in ran.records
    ]


def test_the_best_members_training_is_what_is_confirmed(ran):
    best, default = candidates(ran.plan.spec, ran.plan.goals, ran.records, front=8)
    winner = max(ran.records, key=lambda record: record.value)
    assert best.params == as_one_training(winner).params
    assert default.params == ran.records[0].params
    ran.plan.config_for(best.params, seed=1)


def test_a_killed_driver_goes_on_to_the_same_end(ran, tmp_path):
    command = [sys.executable, str(HERE / "population_supervisor.py"), str(tmp_path), "1.0"]
    url = population_plan(tmp_path).storage_url

    def two_generations() -> bool:
        if not (tmp_path / "trace").exists():
            return False
        study = optuna.load_study(study_name="pbt_search", storage=url)
        return len(study.user_attrs.get(POPULATION, {}).get("generations", ())) >= 2

    with (tmp_path / "said").open("w") as said:
        places = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
        process = subprocess.Popen(command, stdout=said, stderr=said, env=places)
        try:
            until(two_generations, alive=lambda: process.poll() is None)
        finally:
            process.kill()
            process.wait()
    before = traces(tmp_path)
    resumed = run(tmp_path)
    assert resumed.told() == ran.told()
    assert resumed.record == ran.record
    # What was behind it was not trained again, unless it died before a copy was made.
    copied = {copy["member"] for copy in resumed.record["generations"][1]["copies"]}
    for number in before.keys() - copied:
        assert resumed.trace[number][len(before[number])][0] > 4


def test_members_of_the_real_trainer(tmp_path):
    """Weights, optimizer and random streams are copied: each is retrained in one run, exactly."""
    digits = tmp_path / "digits"
    digits.mkdir()
    split = load(DataConfig()).train
    for name, n in (("train", 600), ("t10k", 100)):
        idx.write_images(digits / f"{name}-images-idx3-ubyte", split.images[:n].numpy())
        labels = split.labels[:n].byte().numpy()
        idx.write_labels(digits / f"{name}-labels-idx1-ubyte", labels)
    plan = population_plan(
        tmp_path,
        **{
            "epochs": 3,
            "reports_per_epoch": 2,
            "search.trials": 4,
            "engine.ray.pbt_interval": 1,
            "data.name": "folder",
            "data.root": str(digits),
            "model.name": "lenet5",
            "device": "cpu",
        },
    )
    plan.folder.mkdir(parents=True)
    storage = open_storage(plan.storage_url, create=True)
    with ray_engine(plan) as engine:
        plan = engines.adapted(plan, engine)
        states = RunningStates(states_folder(plan.folder, "search"))
        with open_search(plan, storage, listeners=[states]) as book:
            engine.run(book, build_objective(plan, None))
            records = book.records()
    close_storage(storage)
    assert [record.state for record in records] == ["COMPLETE"] * 4
    copied = [record for record in records if len(record.attributes[SCHEDULE]) > 1]
    assert copied
    assert not list(states_folder(plan.folder, "search").iterdir())
    for record in copied:
        one = as_one_training(record)
        outcome = Classification(base=plan.train, space=plan.spec.space)(
            Task(number=0, params=one.params, seed=one.seed), lambda step, metrics: None
        )
        assert outcome.metrics == record.metrics
        assert outcome.attributes["confusion"] == record.attributes["confusion"]
        last = record.attributes[SCHEDULE][-1]["epoch"] * 2
        assert list(record.curve) == [1, 2, 3, 4, 5, 6]
        config = plan.config_for(one.params, one.seed)
        assert [change.epoch for change in config.changes][-1] * 2 == last


def test_when_a_member_fails_the_others_go_on(tmp_path):
    found = run(tmp_path, breaks=3)
    assert [record.state for record in found.records].count("COMPLETE") == 5
    assert found.records[3].failure.message == "broken"
    assert "3" not in found.record["generations"][1]["values"]
