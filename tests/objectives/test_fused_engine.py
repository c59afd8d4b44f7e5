"""The engine ``fused``: trials that train together leave the trail that they leave alone."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from safetensors.torch import load_file
from test_lost_trials import objective
from toy_plans import toy_plan

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from objectives.base import Task
from studies import engines
from studies.core.goals import Goals
from studies.core.trials import Limits
from studies.engines.base import Resources
from studies.ledger.opening import open_search
from studies.planning.objective_checks import check_objective
from studies.planning.resources import share_out, share_out_own
from studies.planning.settings import EngineSettings
from studies.protocol.checkpoints import RunningStates
from studies.storage.open import close_storage, open_storage

ALWAYS = Resources(stack="always")


@dataclass(frozen=True)
class Searching:
    """The real objective, whose learning rate is the toy study's ``x``."""

    inner: Any

    def __call__(self, task, report):
        # From the seventh trial on it learns nothing, so a pruner stops it.
        params = {"lr": 1e-7 if task.number >= 6 else 0.001 + 0.005 * task.params["x"]}
        return self.inner(Task(number=task.number, params=params, seed=task.seed), report)

    def with_steps(self, steps):
        return Searching(self.inner.with_steps(steps))


def searched(
    folder, name, *, workers=1, resources=ALWAYS, limits=None, stop_after=0, trials=6, **search
):
    """Run trials of 3 reports; return their records and the events."""
    folder.mkdir(exist_ok=True)
    plan = toy_plan(folder, trials=trials, **search)
    plan = dataclasses.replace(plan, train=TrainConfig(epochs=3))
    storage = open_storage(plan.storage_url, create=True)
    made = objective(folder, state_seconds=0.0)
    made = dataclasses.replace(made, base=made.base.override({"precision": "fp32"}))
    engine = engines.create(name, workers=workers, threads=1, resources=resources)
    events = []

    def listen(event):
        events.append((event.kind, event.trial))
        if stop_after and sum(kind == "report" for kind, _ in events) == stop_after:
            engine.stop(now=True)

    listeners = [RunningStates(folder / "states"), listen]
    with engine, open_search(plan, storage, listeners=listeners) as book:
        engine.run(book, Searching(made), *([limits] if limits else []))
        records = book.records()
    close_storage(storage)
    return records, events


def assert_same_trail(together, alone):
    for one, other in zip(together, alone, strict=True):
        assert (one.number, one.seed, one.params) == (other.number, other.seed, other.params)
        assert (one.state, list(one.curve)) == (other.state, list(other.curve))
        assert set(one.attributes) - {"trained_together"} == set(other.attributes)
        # Of few images one more may be right by rounding.
        assert list(one.curve.values()) == pytest.approx(list(other.curve.values()), abs=0.02)
        losses = [record.metrics["val_loss"] for record in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_trials_that_train_together_leave_the_same_trail(tmp_path):
    alone, _ = searched(tmp_path / "alone", "inline")
    together, events = searched(tmp_path / "together", "fused", workers=3)
    assert_same_trail(together, alone)
    assert all(record.attributes["trained_together"] for record in together)
    reports = [trial for kind, trial in events if kind == "report"]
    assert reports[:6] == [0, 1, 2] * 2  # three at once, an epoch each
    assert not list((tmp_path / "together" / "states").iterdir())
    for number in range(6):
        models = [tmp_path / place / "models" for place in ("alone", "together")]
        weights = [load_file(folder / f"{number}.safetensors") for folder in models]
        assert {k: v.shape for k, v in weights[0].items()} == {
            k: v.shape for k, v in weights[1].items()
        }


def test_pruned_members_leave_and_others_take_their_place(tmp_path):
    options = {"n_startup_trials": 2, "n_warmup_steps": 0}
    search = {"pruner": "median", "pruner_options": options}
    records, events = searched(tmp_path / "pruned", "fused", workers=3, trials=24, **search)
    states = [str(record.state) for record in records]
    assert set(states) == {"COMPLETE", "PRUNED"}
    for record in records:
        assert len(record.curve) == 3 or record.state == "PRUNED"
    left = events.index(("pruned", next(r.number for r in records if r.state == "PRUNED")))
    assert any(kind == "start" for kind, _ in events[left:])


def test_stopped_trials_resume_together_from_their_states(tmp_path):
    alone, _ = searched(tmp_path / "alone", "inline")
    folder = tmp_path / "stopped"
    records, _ = searched(folder, "fused", workers=3, stop_after=5)
    assert {str(record.state) for record in records} == {"WAITING"}
    records, _ = searched(folder, "fused", workers=3)
    assert [record.attempt for record in records] == [0] * 6
    assert {r.attributes.get("went_on_from_report") for r in records[:3]} <= {1, 2}
    for record in records:
        record.attributes.pop("went_on_from_report", None)
    assert_same_trail(records, alone)


def test_over_a_limit_a_trial_fails_alone(tmp_path):
    records, _ = searched(tmp_path / "slow", "fused", workers=3, limits=Limits(seconds=1e-9))
    assert {record.failure.kind for record in records} == {"TimeLimit"}


def test_a_measurement_decides_whether_they_share_their_steps(tmp_path, monkeypatch):
    from mnist_core.stacked import gain

    said, asked = [], []
    for faster in (True, False):

        def measure(config, data, members, faster=faster):
            asked.append(members)
            return gain.Measured([1.0] * 3, [0.5 if faster else 1.5] * 3, 1.0, 1.0)

        monkeypatch.setattr(gain, "measure", measure)
        measured = Resources(stack="measured", say=said.append)
        folder = tmp_path / f"faster_{faster}"
        records, _ = searched(folder, "fused", workers=3, resources=measured)
        shared = ["trained_together" in record.attributes for record in records]
        assert shared == [faster] * 6
    assert asked == [3, 3] and len(said) == 2  # once each


@pytest.fixture
def refusal():
    """Call something that must be refused; return the one line that says why."""

    def call(function, *args, **keywords):
        with pytest.raises(ConfigError) as caught:
            function(*args, **keywords)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    return call


def test_what_does_not_fit_the_engine_is_refused(refusal):
    own = EngineSettings(name="fused")
    refusal(share_out_own, own, threads=0, tasks=9)
    limited = EngineSettings(name="fused", trial_memory_gib=1.0)
    assert "trial_memory_gib" in refusal(share_out, limited, "cpu", threads=0, tasks=9)


def test_trials_at_once_are_not_bound_by_the_cores():
    share = share_out(EngineSettings(name="fused"), "cpu", threads=1, tasks=40)
    assert (share.workers, share.threads, share.device) == (8, 1, "cpu")
    many = EngineSettings(name="fused", workers=64)
    assert share_out(many, "cpu", threads=1, tasks=400).workers == 64


def test_seconds_of_a_trial_cannot_be_an_objective(refusal):
    goals = Goals(metric="val_accuracy", further={"seconds": "minimize"})
    message = refusal(check_objective, "classification", goals, engine="fused")
    assert "seconds" in message
    check_objective("classification", goals, engine="local")
