"""The undocumented parts of W&B and TensorBoard: without them the public way is taken."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.text import metadata

from mnist_core.errors import UserError
from mnist_core.tracking import tensorboard_internals, wandb_internals


@pytest.fixture(autouse=True)
def _checked_again():
    caches = (
        wandb_internals._say_once,
        wandb_internals._record_type,
        tensorboard_internals._parts,
    )
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def test_unknown_settings_are_left_out_and_said_once(monkeypatch, caplog):
    kept = wandb_internals.run_settings(online=False, began=5.0)
    assert kept.x_start_time == 5.0 and not kept.x_save_requirements and not caplog.records

    def settings(**given):
        assert not any(name.startswith("x_") for name in given)
        return given

    monkeypatch.setattr(wandb, "Settings", settings)
    for _ in range(2):
        assert wandb_internals.run_settings(online=True, began=5.0)["mode"] == "online"
    (line,) = caplog.messages
    assert "x_save_requirements" in line


def test_a_server_that_is_not_named_is_that_of_the_environment(monkeypatch, caplog):
    monkeypatch.setattr(wandb, "setup", lambda: SimpleNamespace())
    monkeypatch.setenv("WANDB_BASE_URL", "http://here")
    assert wandb_internals.server() == "http://here"
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("gone", ["wandb.proto.wandb_internal_pb2", "exit"])
def test_without_the_format_of_records_a_finished_run_counts_as_written(
    gone, monkeypatch, tmp_path, caplog
):
    record = SimpleNamespace(DESCRIPTOR=SimpleNamespace(fields_by_name={}))

    def load(name):
        if name == gone:
            raise ImportError(name)
        return SimpleNamespace(Record=record)

    monkeypatch.setattr(wandb_internals.importlib, "import_module", load)
    file = tmp_path / "run-1.wandb"
    file.write_bytes(b":W&B...cut short")
    assert wandb_internals.ended(file) and wandb_internals.ended(file)
    assert len(caplog.messages) == 1
    assert not wandb_internals.ended(tmp_path / "none")


def test_a_report_that_cannot_be_written_is_one_line():
    with pytest.raises(UserError, match="--out"):
        wandb_internals.report_json(SimpleNamespace())


def test_without_its_parts_tensorboard_is_written_by_torch(monkeypatch, tmp_path, caplog):
    monkeypatch.delattr(metadata, "create_summary_metadata")
    caplog.set_level(logging.WARNING)
    run = tensorboard_internals.open_run(tmp_path)
    monkeypatch.undo()
    run.scalar("loss", 0.5, 3, 100.0)
    run.text("verdict", "adam", 100.0)
    run.image("mistakes", np.zeros((4, 5), np.uint8), 100.0)
    values = {"lr": 0.1, "name": "adam", "nesterov": True}
    run.hyperparameters(values, columns=values, metrics=["loss"], began=1.0, ended=2.0)
    run.close()
    assert len(caplog.messages) == 1 and "create_summary_metadata" in caplog.text
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    (point,) = found.Scalars("loss")
    assert (point.value, point.step, point.wall_time) == (0.5, 3, 100.0)
    assert found.Tags()["images"] == ["mistakes"]
    assert "_hparams_/session_start_info" in found.summary_metadata
