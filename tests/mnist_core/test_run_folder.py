"""The folder of a run: what lies in it at which time, and which runs may go on."""

import csv
import json
import os
import tomllib

import pytest
import torch

from mnist_core import train
from mnist_core.checkpoints import checkpoint
from mnist_core.config import TrainConfig
from mnist_core.errors import CheckpointError, UserError
from mnist_core.runs import run_folder, run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.version import TRAINER_VERSION


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def some(config):
    return train.resolve(config(model__name="lenet5", epochs=3, batch_size=50, optim__lr=0.01))


@pytest.fixture
def create(tmp_path, some, few):
    def call(**options):
        return RunFolder.create(tmp_path / "runs", some, few, **options)

    return call


@pytest.fixture
def killed(create, some, few):
    """Return the folder of a run that was killed after its second report's state was written."""

    def call(at=2):
        run = create()

        def report(step, metrics):
            if step == at:
                raise Killed
            run.report(step, metrics)

        with pytest.raises(Killed):
            train.train(some, few, report, keep_best=True, state_file=run.state, keep_state=True)
        dead = {"pid": 2**22 + 1, "started": 0.0}
        run.update(process=dead)
        return run

    return call


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_a_new_run(create, some, few, tmp_path):
    run = create(overrides={"epochs": 3, "optim.lr": 0.01}, base=tmp_path / "c.toml")
    assert run.path.parent == tmp_path / "runs" / "cpu"
    assert names(run.path) == ["config.toml", "overrides.toml", "run.json"]
    stored = tomllib.loads((run.path / "config.toml").read_text())
    assert TrainConfig.from_mapping(stored, source="x") == some
    changed = tomllib.loads((run.path / "overrides.toml").read_text())
    assert changed == {
        "config_file": str(tmp_path / "c.toml"),
        "overrides": {"epochs": 3, "optim.lr": 0.01},
    }
    facts = run_record.read(run.path)
    assert facts["status"] == "running" and run_record.process_lives(facts["process"])
    assert facts["process"]["pid"] == os.getpid()
    assert (facts["environment"], facts["device"], facts["threads"]) == ("cpu", "cpu", 1)
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["data"]["train_images"] == len(few.train)
    assert run.empty


def test_names(create, some, few):
    first, second, third = create(), create(), create(name="mine")
    key = run_folder.key(some, few.fingerprint)
    assert first.path.name.endswith(f"-lenet5-{key}")
    assert second.path != first.path  # of the same second, as a rule
    assert third.path.name == "mine"
    with pytest.raises(UserError, match=r"--name mine: .* is there already; choose another name"):
        create(name="mine")
    other = some.override({"seed": 1})
    assert run_folder.key(other, few.fingerprint) != key != run_folder.key(some, "other data")


def test_two_runs_in_one_second(create, monkeypatch):
    class Now(run_folder.datetime):
        @classmethod
        def now(cls, zone):
            return cls(2026, 11, 21, 9, 43, 45, tzinfo=zone)

    monkeypatch.setattr(run_folder, "datetime", Now)
    found = [create().path.name for _ in range(3)]
    assert found[0].startswith("20261121-094345-lenet5-")
    assert found == [found[0], f"{found[0]}-2", f"{found[0]}-3"]


def test_places_that_cannot_be_written(some, few, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for root in (tmp_path / "file", tmp_path / "file" / "in"):
        with pytest.raises(UserError, match="--out"):
            RunFolder.create(root, some, few)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        RunFolder.create(tmp_path / "runs", some, few)
    assert names(tmp_path / "runs" / "cpu") == []


def test_a_row_is_on_the_disk_at_once(create):
    run = create()
    run.report(1, {"val_accuracy": 0.1, "train_loss": 1 / 3})
    assert [row["step"] for row in rows(run.path)] == [1]
    run.report(2, {"val_accuracy": 0.2, "train_loss": 0.25})
    first, second = rows(run.path)
    assert (first["train_loss"], second["epoch"]) == (1 / 3, 2.0)
    assert 0 < first["seconds"] < second["seconds"]
    assert run_record.read_metrics(run.path) == [first, second]


def test_rows_that_cannot_be_written(create):
    run = create()
    (run.path / "metrics.csv").mkdir()
    with pytest.raises(UserError, match=r"metrics\.csv: cannot be written"):
        run.report(1, {"val_accuracy": 0.1})


def test_a_result(create, some, few):
    run = create()
    result = train.train(some, few, run.report, keep_best=True, state_file=run.state)
    run.write_result(result, few.n_classes)
    run.end(run_record.DONE)
    assert not run.empty
    assert names(run.path) == [
        "best.safetensors",
        "config.toml",
        "history.json",
        "last.safetensors",
        "metrics.csv",
        "overrides.toml",
        "run.json",
    ]
    facts = run_record.read(run.path)
    assert facts["status"] == "done" and "process" not in facts
    assert facts["metrics"] == result.metrics
    assert facts["best"] == {"step": result.best.step, "metrics": result.best.metrics}
    assert facts["confusion"] == result.confusion
    assert facts["images_per_second"] == pytest.approx(result.images / result.train_seconds)
    assert rows(run.path) == result.history
    assert json.loads((run.path / "history.json").read_text()) == result.history
    last, best = (checkpoint.load(run.path / f"{x}.safetensors") for x in ("last", "best"))
    assert (last.metrics, best.metrics) == (result.metrics, result.best.metrics)
    for kept, weights in ((last, result.model.state_dict()), (best, result.best.weights)):
        assert all(torch.equal(v, weights[k]) for k, v in kept.model.state_dict().items())


def resumed(run, some, few):
    again = RunFolder.reopen(run.path, some, few)
    result = train.train(
        some, few, again.report, keep_best=True, state_file=again.state, keep_state=True
    )
    again.write_result(result, few.n_classes)
    again.end(run_record.DONE)
    return result


@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_was_killed_goes_on_to_the_same_result(killed, some, few, at):
    """Its rows may be more or fewer than the state has, the last one half: the state is right."""
    run = killed(at)
    with (run.path / "metrics.csv").open("a") as file:
        file.write("9,9.0,9.0\n2,1.0,0.")
    (run.path / ".saving-x").mkdir()
    (run.path / ".saving-x" / "best.safetensors").write_text("half")
    again = RunFolder.reopen(run.path, some, few)
    assert [row["step"] for row in rows(run.path)] == list(range(1, at + 1))
    assert again.resumed and run_record.read(run.path)["status"] == "running"
    again.update(process=None)
    result = resumed(run, some, few)
    whole = train.train(some, few, keep_best=True)
    assert without_seconds(rows(run.path)) == without_seconds(whole.history)
    kept = checkpoint.load(run.path / "last.safetensors").model.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in whole.model.state_dict().items())
    facts = run_record.read(run.path)
    assert (facts["status"], facts["resumed"]) == ("done", 2)
    assert facts["seconds"] == result.history[-1]["seconds"]
    # Images of all parts over seconds of the last would be no speed.
    assert "images_per_second" not in facts and "train_seconds" not in facts
    assert not [name for name in names(run.path) if name.startswith((".saving", "state"))]


def test_killed_before_its_first_report(create, some, few):
    run = create()
    run.update(process={"pid": 2**22 + 1, "started": 0.0})
    (run.path / "metrics.csv").write_text("step,ep")
    resumed(run, some, few)
    whole = train.train(some, few)
    assert without_seconds(rows(run.path)) == without_seconds(whole.history)


def refused(run, some, few, error=UserError):
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(error) as caught:
        RunFolder.reopen(run.path, some, few)
    assert (run.path / "run.json").read_bytes() == before
    message = str(caught.value)
    assert str(run.path) in message and len(message.splitlines()) == 1
    return message


def test_what_cannot_go_on(killed, create, some, few, monkeypatch):
    run = killed()
    run.update(process=run_record.process_mark())
    assert f"process {os.getpid()}" in refused(run, some, few)
    run.update(process=None, data={"name": "cut", "fingerprint": "other"})
    assert "its data was other, but is 300/150 now" in refused(run, some, few)
    run.update(data={"fingerprint": few.fingerprint}, status=run_record.DONE)
    assert "nothing is left" in refused(run, some, few)
    run.update(status=run_record.STOPPED)
    changed = some.override({"epochs": 4})
    assert "another training (epochs: 3 -> 4)" in refused(run, changed, few, CheckpointError)
    monkeypatch.setattr(run_folder, "TRAINER_VERSION", "99")
    assert f"its trainer was {TRAINER_VERSION}, but is 99 now" in refused(run, some, few)
    failed = create()
    failed.end(run_record.FAILED, "NonFiniteLoss: nan")
    assert "this run failed (NonFiniteLoss: nan)" in refused(failed, some, few)


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_damaged_state(killed, some, few, damage):
    run = killed()
    run.state.write_bytes(damage)
    refused(run, some, few, CheckpointError)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": 1}', '{"status": "done"}', "{}"])
def test_a_damaged_record(killed, some, few, content):
    run = killed()
    (run.path / "run.json").write_text(content)
    refused(run, some, few)


def test_a_process_that_has_the_number_of_one_that_died(killed, some, few):
    run = killed()
    mark = run_record.process_mark()
    run.update(process={**mark, "started": mark["started"] - 60})
    RunFolder.reopen(run.path, some, few)


@pytest.mark.parametrize("mark", [{}, {"pid": "x"}, {"pid": 1}, {"pid": -1}, {"pid": 10**30}])
def test_marks_of_no_process(mark):
    assert not run_record.process_lives({"started": 0.0, **mark})


def test_another_torch_is_recorded(killed, some, few, monkeypatch):
    run = killed()
    before = run.facts["versions"]
    monkeypatch.setattr(run_folder, "versions", lambda: {**before, "torch": "99"})
    again = RunFolder.reopen(run.path, some, few)
    assert again.facts["versions"]["torch"] == "99"
    assert again.facts["versions_before"] == before


def test_readings_of_the_test_images_stay(create):
    run = create()
    run.add_test_reading({"checkpoint": "last"})
    run.end(run_record.DONE)
    assert [r["checkpoint"] for r in run_record.read(run.path)["test_readings"]] == ["last"]


def test_discarded(create):
    run = create()
    (run.path / ".saving-x").mkdir()
    run.discard()
    assert not run.path.exists()
