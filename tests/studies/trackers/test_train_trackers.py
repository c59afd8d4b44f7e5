"""``mnist-core train --track …``: one training in each tracker, read back as people would."""

import csv
import json
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
from hparams_page import hparams
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_tracker_wandb import _nobody, history, read, runs  # noqa: F401
from waiting import PATIENCE

from mnist_core import __main__ as program
from mnist_core import tracking
from mnist_core.console import command_line
from mnist_core.errors import ConfigError
from mnist_core.runs import run_folder, training_run
from mnist_core.tracking import tracked
from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun
from mnist_core.tracking.tracked import Trackers

QUICK = ["--epochs", "2", "--device", "cpu", "--seed", "3", "--no-pictures"]
QUICK += ["--model", "mlp512", "--set", "batch_size=500", "--set", "threads=1"]
SECRET = "s3cret"


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train in this process, in a folder of its own; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracked, "FINISH_SECONDS", PATIENCE)
    for name in (
        *("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ERROR_REPORTING", "WANDB_PROJECT"),
        *("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY"),
        *("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
    ):
        monkeypatch.setenv(name, "")  # so that the test's end takes away what is set meanwhile
        monkeypatch.delenv(name)

    def call(*words):
        words = ["train", *(QUICK if "--resume" not in words else []), *words]
        monkeypatch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        return SimpleNamespace(code=caught.value.code or 0, **capsys.readouterr()._asdict())

    return call


def table(folder):
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def points(folder, name):
    found = EventAccumulator(str(folder / "tensorboard" / "cpu" / name))
    found.Reload()
    return found


def facts(folder, name):
    return json.loads((folder / "cpu" / name / "run.json").read_text())


def test_a_training_is_in_wandb_tensorboard_and_the_table(train, tmp_path):
    done = train("--track", "wandb,tensorboard,csv", "--name", "mine", "--test")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "results" / "runs"
    kept = facts(folder, "mine")
    accuracy = kept["metrics"]["val_accuracy"]
    tested = kept["test_readings"][0]["metrics"]["accuracy"]

    ((identity, path),) = runs(folder).items()
    assert len(identity) == 8
    shown, records = read(path)
    assert shown["tags"] == ["finished"]
    summary = shown["summary"]
    assert (summary["val_accuracy"], summary["test_accuracy"]) == (accuracy, tested)
    assert [row["_step"] for row in history(records) if "val_loss" in row] == [1, 2]
    assert "confusion" in json.dumps(summary)
    run = next(record["run"] for record in records if record["type"] == "run")
    assert (run["display_name"], run["job_type"], run["project"]) == (
        *("mine", "train"),
        "mnist-core",
    )

    found = points(folder, "mine")
    assert [point.step for point in found.Scalars("val_accuracy")] == [1, 2]
    assert found.Scalars("end/test_accuracy")[0].value == pytest.approx(tested)
    assert "_hparams_/session_start_info" in found.summary_metadata

    (line,) = table(folder)
    assert (line["name"], line["state"], line["seed"]) == ("mine", "finished", "3")
    assert float(line["val_accuracy"]) == accuracy and line["optim.name"]
    for name, said in (("tensorboard", "--logdir results/runs/tensorboard"), ("csv", "runs.csv")):
        (line,) = [line for line in done.out.splitlines() if line.startswith(f"{name}: ")]
        assert said in line


@pytest.mark.slow
def test_trainings_are_runs_of_one_experiment_in_mlflow(train, tmp_path):
    for name in ("a", "b"):
        assert train("--track", "mlflow", "--name", name).code == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/results/runs/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mnist-core"]
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"a", "b"}
    one, kept = found["a"], facts(tmp_path / "results" / "runs", "a")
    assert one.info.status == "FINISHED" and one.data.tags["state"] == "finished"
    assert one.data.params["seed"] == "3" and one.data.params["model.name"] == "mlp512"
    history = client.get_metric_history(one.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2]
    assert one.data.metrics["end.val_accuracy"] == kept["metrics"]["val_accuracy"]
    assert [file.path for file in client.list_artifacts(one.info.run_id)] == ["confusion.json"]


def test_a_resumed_training_is_one_run_with_each_report_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "_STATE_SECONDS", 0.0)
    report = run_folder.RunFolder.report

    def interrupted(self, step, metrics):
        row = report(self, step, metrics)
        if step == 2:
            raise KeyboardInterrupt
        return row

    monkeypatch.setattr(run_folder.RunFolder, "report", interrupted)
    track = ["--track", "tensorboard,csv", "--name", "x", "--epochs", "3"]
    assert train(*track).code == 130
    folder = tmp_path / "results" / "runs"
    (line,) = table(folder)
    assert line["state"] == "interrupted"
    monkeypatch.setattr(run_folder.RunFolder, "report", report)
    assert train("--resume", "x").code == 0  # with the trackers that it began with
    assert [point.step for point in points(folder, "x").Scalars("val_loss")] == [1, 2, 3]
    (line,) = table(folder)
    assert line["state"] == "finished" and line["step"] == "3"


def test_trainings_of_different_settings_are_one_table(train, tmp_path):
    train("--track", "csv,tensorboard", "--name", "a")
    changed = ["--set", "optim.name=rmsprop", "--set", "optim.alpha=0.5"]
    done = train("--track", "csv,tensorboard", "--name", "b", "--test", *changed)
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "results" / "runs"
    one, two = table(folder)
    assert (one["name"], two["name"]) == ("a", "b")
    assert one["test_accuracy"] == "" and float(two["test_accuracy"]) > 0.5
    page = hparams(folder / "tensorboard")
    assert set(page.rows) == {"cpu/a", "cpu/b"}
    assert page.rows["cpu/b"]["optim.alpha"] == 0.5
    assert "optim.alpha" not in page.rows["cpu/a"]
    assert page.columns >= {"optim.name", "optim.alpha", "optim.beta1"}
    assert page.metrics >= {"val_accuracy", "end/test_accuracy"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--track", "wandbb"], "did you mean 'wandb'?"),
        (["--track", "csv", "--no-save"], "--no-save"),
    ],
)
def test_what_cannot_be_tracked_is_refused_in_a_line(train, words, part):
    done = train(*words)
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "--track" in done.err and part in done.err


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mnist-studies\[mlflow\]"):
        tracking.chosen(["mlflow"], option="--track")


class Told(RunTracker):
    """Does what the test says at a method."""

    def __init__(self, at, do):
        self.at, self.do = at, do

    def report(self, row, time):
        if self.at == "report":
            self.do()

    def end(self, how):
        if self.at == "end":
            self.do()
        return "kept"


@pytest.fixture
def told(monkeypatch, tmp_path):
    """A training with a tracker ``odd`` that does something at a method; what people are told."""

    def make(at, do):
        module = ModuleType("mnist_core.tracking.odd_tracker")
        module.create = lambda run: do() if at == "start" else Told(at, do)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(tracking._KNOWN, "odd", tracking._Known("odd_tracker", "", ""))
        said = []
        run = TrackedRun(
            identity="0" * 8, name="x", environment="cpu", root=tmp_path, settings={}, began=1.0
        )
        trackers = Trackers(["odd"], run, said.append)
        trackers.report({"step": 1, "seconds": 0.1, "val_loss": 1.0})
        trackers.end(RunEnd(state="finished"))
        return said

    return make


def fail():
    raise RuntimeError(f"no answer from https://me:{SECRET}@host/x\nat all")


@pytest.mark.parametrize("at", ["start", "report", "end"])
def test_one_that_raises_costs_a_line_and_no_password_is_in_it(told, at):
    said = told(at, fail)
    assert len(said) == 1 and f"failed at the {at}: RuntimeError" in said[0]
    assert SECRET not in said[0] and "\n" not in said[0]


@pytest.mark.parametrize("at", ["start", "report", "end"])
def test_one_that_hangs_is_given_up(told, monkeypatch, at):
    monkeypatch.setattr(tracked, "FINISH_SECONDS", 0.2)
    began = time.monotonic()
    said = told(at, lambda: time.sleep(3600))
    assert time.monotonic() - began < 60
    assert said == [
        "waiting for odd to keep the run, at most 0 s",
        "odd: not done within 0.2 s; given up",
    ]


def test_a_tracker_that_fails_never_costs_the_training(train, tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_core.tracking.csv_tracker.create", lambda run: fail())
    done = train("--track", "csv", "--name", "x")
    assert (done.code, done.err) == (0, "")
    assert facts(tmp_path / "results" / "runs", "x")["status"] == "done"
    assert "csv: failed at the start" in done.out and SECRET not in done.out
