"""A trial that was lost goes on from its state, to the curve and result of one that was not."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import torch
from programs import warm_workers  # noqa: F401
from safetensors.torch import load_file
from small_data import small_data
from toy_plans import toy_plan

from mnist_core.config import TrainConfig
from objectives.base import StopTraining, Task
from objectives.classification import Classification
from search_spaces.space import Float, Space
from studies import engines
from studies.ledger.opening import open_search
from studies.protocol.checkpoints import RunningStates
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials

SPACE = Space({"lr": Float(1e-5, 1.0, log=True, sets="optim.lr")})
BASE = TrainConfig().override(
    {
        "data.name": "folder",
        "data.root": str(small_data()),
        "model.name": "mlp512",
        "batch_size": 256,
        "epochs": 3,
        "device": "cpu",
        "threads": 1,
        "optim.name": "adam",
        "augment.shift": 0.1,
        "early_stopping": 5,
    }
)
TASK = Task(number=3, params={"lr": 0.003}, seed=11)


class Lost(BaseException):
    """Stands for the death of the process."""


def objective(folder, **options):
    made = {"states": folder / "states", "state_seconds": 0.0, "keep_models": folder / "models"}
    return Classification(BASE, SPACE, **{**made, **options})


def run(made, reports, until=99):
    def report(step, metrics):
        if step > until:
            raise Lost
        reports.append((step, dict(metrics)))

    return made(TASK, report)


def same(one, other):
    differs = ("train_seconds", "wall_seconds", "went_on_from_report", "state_ignored")
    assert one.metrics == other.metrics
    assert {k: v for k, v in one.attributes.items() if k not in differs} == {
        k: v for k, v in other.attributes.items() if k not in differs
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, reports = tmp_path_factory.mktemp("whole"), []
    outcome = run(objective(folder, states=None), reports)
    return outcome, reports, load_file(folder / "models" / "3.safetensors")


@pytest.mark.parametrize("until", [0, 1, 2])
def test_it_goes_on_where_it_was(tmp_path, whole, until):
    outcome, reports, model = whole
    made, seen = objective(tmp_path), []
    with pytest.raises(Lost):
        run(made, seen, until)
    assert len(seen) == until
    again = []
    resumed = run(made, again)
    # Its state is older than the report that was lost: all reports are made again, from the state.
    assert again == reports
    assert resumed.attributes["went_on_from_report"] == until + 1
    same(resumed, outcome)
    kept = load_file(tmp_path / "models" / "3.safetensors")
    assert kept.keys() == model.keys()
    assert all(torch.equal(kept[name], model[name]) for name in model)
    assert (tmp_path / "states" / "3.safetensors").exists()  # until its result is written down


def test_what_was_lost_after_its_end_is_not_trained_again(tmp_path, whole, monkeypatch):
    made = objective(tmp_path)
    run(made, [])
    monkeypatch.setattr("mnist_core.trainer.training.Training._step", lambda *_: 1 / 0)
    again = []
    same(run(made, again), whole[0])
    assert again == whole[1]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(b""), "cannot read the training's state"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "cannot read"),
        (lambda path: path.write_bytes(os.urandom(999)), "cannot read"),
    ],
)
def test_a_damaged_state_is_noted_and_the_trial_begins_anew(tmp_path, whole, spoil, why):
    made = objective(tmp_path)
    with pytest.raises(Lost):
        run(made, [], 1)
    spoil(tmp_path / "states" / "3.safetensors")
    again = []
    outcome = run(made, again)
    assert again == whole[1]
    assert why in outcome.attributes["state_ignored"]
    assert "\n" not in outcome.attributes["state_ignored"]
    same(outcome, whole[0])


def test_the_state_of_another_trial_is_not_used(tmp_path, whole):
    made = objective(tmp_path)
    other = Task(number=3, params={"lr": 0.1}, seed=4)
    made(other, lambda step, metrics: None)
    outcome = run(made, [])
    assert "another training" in outcome.attributes["state_ignored"]
    same(outcome, whole[0])


def test_a_stop_at_a_repeated_report_stops(tmp_path):
    made = objective(tmp_path)
    with pytest.raises(Lost):
        run(made, [], 1)

    def stop(step, metrics):
        raise StopTraining

    with pytest.raises(StopTraining):
        made(TASK, stop)


def test_nothing_is_written_by_default_settings(tmp_path, whole):
    made = objective(tmp_path, state_seconds=60.0)
    same(run(made, []), whole[0])
    assert not (tmp_path / "states").exists()


# Through the engine, with a worker that is really killed.


@dataclass(frozen=True)
class Killed:
    """The real objective in a worker that is killed once, at trial 1's second report."""

    folder: Path
    inner: Classification

    def __call__(self, task, report):
        def counted(step, metrics):
            with (self.folder / f"reports-{task.number}").open("a") as file:
                file.write(f"{task.attempt}:{step}\n")
            if task.number == 1 and task.attempt == 0 and step == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            report(step, metrics)

        inner_task = Task(number=task.number, params={"lr": 0.003}, seed=task.seed)
        return self.inner(inner_task, counted)


def test_a_killed_worker_costs_no_epoch(tmp_path, warm_workers):  # noqa: F811
    found = []
    for name in ("quiet", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        plan = toy_plan(folder, trials=3)
        storage = open_storage(plan.storage_url, create=True)
        made = objective(folder, keep_models=None)
        engine = engines.create("local" if name == "killed" else "inline", workers=1, threads=1)
        listeners = [RunningStates(folder / "states")]
        with engine, open_search(plan, storage, listeners=listeners) as book:
            engine.run(book, Killed(folder, made) if name == "killed" else Quiet(made))
            records = book.records()
        study = optuna.load_study(study_name="toy", storage=storage)
        assert read_trials(study) == records
        close_storage(storage)
        assert [r.state for r in records] == ["COMPLETE"] * 3
        assert not list((folder / "states").iterdir())
        found.append(records)
    for one, other in zip(*found, strict=True):
        assert (one.curve, one.value, one.metrics) == (other.curve, other.value, other.metrics)
    lost = found[1][1]
    assert lost.attempt == 1 and lost.attributes["went_on_from_report"] == 2
    lines = (tmp_path / "killed" / "reports-1").read_text().split()
    assert lines == ["0:1", "0:2", "1:1", "1:2", "1:3"]


@dataclass(frozen=True)
class Quiet:
    """The real objective."""

    inner: Classification

    def __call__(self, task, report):
        return self.inner(Task(number=task.number, params={"lr": 0.003}, seed=task.seed), report)


def test_left_states_of_trials_that_are_over_are_removed(tmp_path):
    plan = toy_plan(tmp_path, trials=2)
    storage = open_storage(plan.storage_url, create=True)
    states = tmp_path / "states"
    states.mkdir()
    for number in (0, 1, 7):
        (states / f"{number}.safetensors").write_bytes(b"")
    (states / ".saving-x").mkdir()
    engine = engines.create("inline", workers=1, threads=1)
    with open_search(plan, storage) as book:
        listener = RunningStates(states)
        listener.tidy(book.records)
        assert {p.name for p in states.iterdir()} == {f"{n}.safetensors" for n in (0, 1, 7)}
        engine.run(book, Quiet(objective(tmp_path, states=None, keep_models=None)))
        listener.tidy(book.records)
    assert [p.name for p in states.iterdir()] == ["7.safetensors"]
    close_storage(storage)
