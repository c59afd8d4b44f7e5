"""MLflow: what was written to its SQLite store is read back by its own client."""

import importlib.metadata

import psutil
import pytest
from made_log import BEGAN, OVER, track, trial, whole, write
from waiting import PATIENCE, until

from studies.planning.tracking_settings import TrackingSettings
from studies.tracking.base import Place, Study
from studies.tracking.mlflow import MLflow
from studies.tracking.process import TrackerProcess


@pytest.mark.slow
def test_a_study_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    # A trial that is left half done, and made again by the next process.
    events = whole()
    write(tmp_path, events[:4])
    said, complete = track("mlflow", tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert complete and said[0].endswith(f"mlflow ui --backend-store-uri {uri}")
    write(tmp_path, [*trial(0), *events[7:]])
    assert track("mlflow", tmp_path)[1]

    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "made-0123abcd"]
    runs = {
        run.data.tags["studies.run"]: run for run in client.search_runs([experiment.experiment_id])
    }
    assert set(runs) == {"0123abcd-study", *(f"0123abcd-{p}-{n}" for p, n in OVER)}
    study, first = runs["0123abcd-study"], runs["0123abcd-search-0"]
    assert first.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert runs["0123abcd-confirm-0"].info.run_name == "confirm adam seed 1"
    assert first.data.params["optim.lr"] == "0.01" and first.data.params["epochs"] == "3"
    points = client.get_metric_history(first.info.run_id, "val_accuracy")
    assert [(p.step, p.timestamp) for p in points] == [
        (step, int((BEGAN + step) * 1000)) for step in (1, 2, 3)
    ]
    assert [p.value for p in points] == pytest.approx([0.8, 0.85, 0.9 - 0.1 / 3])
    states = {name[9:]: (run.data.tags.get("state"), run.info.status) for name, run in runs.items()}
    assert states["search-1"] == ("pruned", "FINISHED")
    assert states["search-2"] == ("failed", "FAILED")
    assert runs["0123abcd-search-2"].data.tags["failure"] == "OutOfMemory: too big"
    assert study.data.tags["verdict"] == "adam is best."
    assert study.data.metrics["best.val_accuracy"] == pytest.approx(0.93 - 0.1 / 3)
    names = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert names == {"best_config.toml", "result.json"}
    confirmed = runs["0123abcd-confirm-0"].info.run_id
    names = {file.path for file in client.list_artifacts(confirmed)}
    assert names == {"confusion.json", "validation.json", "mistakes.png"}


def test_no_password_is_shown(tmp_path):
    write(tmp_path, whole())
    settings = TrackingSettings.from_mapping(
        {"mlflow": {"uri": "odd://me:s3cret@127.0.0.1:9/x"}}, source="test"
    )
    process = TrackerProcess("mlflow", tmp_path, settings, seconds=PATIENCE, sync="SYNC")
    try:
        words = until(psutil.Process(process.pid).cmdline)
        assert "s3cret" not in " ".join(words)
    finally:
        said = process.finish()
    assert said[0].startswith("failed at ") and not process.complete
    log = tmp_path / "trackers" / "mlflow.log"
    assert "odd://me:***@127.0.0.1:9/x" in log.read_text()
    assert "s3cret" not in log.read_text() + " ".join(said)
    assert log.stat().st_mode & 0o077 == 0


def test_its_last_line_holds_no_password(tmp_path):
    place = Place(folder=tmp_path, settings=TrackingSettings(), say=print, sync="")
    tracker = MLflow(None, "0", "https://me:s3cret@host/x", place)
    tracker._study = "run"
    said = tracker.conclude(Study(id="0", name="made"))
    assert said.endswith("mlflow ui --backend-store-uri 'https://me:***@host/x'")


@pytest.mark.parametrize("whole", [True, False])
def test_its_last_line_is_a_command_that_starts(tmp_path, monkeypatch, whole):
    """What keeps runs is a part of MLflow, which has no pages of its own."""
    found = object() if whole else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    place = Place(folder=tmp_path, settings=TrackingSettings(), say=print, sync="")
    tracker = MLflow(None, "0", "sqlite:///x.db", place)
    tracker._study = "run"
    said = tracker.conclude(Study(id="0", name="made"))
    version = importlib.metadata.version("mlflow-skinny")
    first = "" if whole else f"pip install mlflow=={version} && "
    assert said == f"{first}mlflow ui --backend-store-uri sqlite:///x.db"
