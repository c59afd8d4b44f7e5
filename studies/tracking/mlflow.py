"""MLflow: ``mlflow ui --backend-store-uri sqlite:///results/<study>/mlflow.db``.

An experiment for the study, and in it a run for each trial below one of the study itself.
"""

import importlib.metadata
import importlib.util
import os
import shlex
import time
from collections.abc import Mapping
from typing import Any

from mnist_core.evaluation import worst_pairs
from mnist_core.evaluation.pictures import mosaic
from studies.core.redaction import masked
from studies.core.trials import class_names_of
from studies.storage.url import sqlite_url
from studies.tracking.base import BestSoFar, Place, Report, Study, Tracker, Trial, as_text
from studies.tracking.trial_mistakes import Mistakes

PACKAGE = ("mlflow", "mlflow")
FILE = "mlflow.db"
_RUN = "studies.run"
"""The tag that names a run's study, phase and number."""
_PAUSE = 2.0
"""Seconds between two writes of a trial's reports: each takes as long as a batch of them."""
_BATCH = 900
"""Metrics a call; MLflow takes 1,000 things at most."""
_LONGEST = 500
"""Characters of a parameter's value."""


def create(study: Study, place: Place) -> "MLflow":
    """Return the tracker of ``study``, with its experiment."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # A server that does not answer is not waited for: this trial is kept later.
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "10"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    from mlflow.tracking import MlflowClient

    file = place.folder / FILE
    # One SQLite file: MLflow refuses plain files since version 3.
    uri = place.settings.mlflow.uri or sqlite_url(file)
    client = MlflowClient(tracking_uri=uri)
    name = f"{study.name}-{study.id}"
    found = client.get_experiment_by_name(name)
    if found is not None:
        return MLflow(client, found.experiment_id, uri, place)
    kept = None if place.settings.mlflow.uri else (place.folder / "mlflow").as_uri()
    experiment = client.create_experiment(
        name,
        artifact_location=kept,
        tags={"mlflow.note.content": str(study.about.get("goal", "")), "study": study.name},
    )
    return MLflow(client, experiment, uri, place)


class MLflow(Tracker):
    """The tracker of one study."""

    def __init__(self, client: Any, experiment: str, uri: str, place: Place) -> None:
        self._client, self._experiment = client, experiment
        self._uri, self._folder = uri, place.folder
        self._mistakes = Mistakes(place.say)
        self._runs: dict[tuple[str, int], str] = {}
        self._unwritten: dict[tuple[str, int], list[Any]] = {}
        self._written: dict[tuple[str, int], float] = {}
        self._study = ""
        self._best = BestSoFar()

    def begin(self, study: Study, trial: Trial) -> None:
        """Begin its run; what an earlier process has left of it is removed."""
        from mlflow.entities import Param

        identity = f"{study.id}-{trial.phase}-{trial.number}"
        # A process that was killed has left a run of this trial that is half done.
        for left in self._named(identity):
            self._client.delete_run(left)
        run = self._client.create_run(
            self._experiment,
            run_name=study.title_of(trial),
            start_time=_milliseconds(trial.began),
            tags={
                _RUN: identity,
                "phase": trial.phase,
                "trial": str(trial.number),
                "mlflow.parentRunId": self._study_run(study),
            },
        ).info.run_id
        values = {**study.config_of(trial), **trial.params, "seed": trial.seed}
        params = [Param(name, as_text(value)[:_LONGEST]) for name, value in values.items()]
        for start in range(0, len(params), 100):
            self._client.log_batch(run, params=params[start : start + 100])
        self._runs[trial.key], self._unwritten[trial.key] = run, []
        self._written[trial.key] = time.monotonic()

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Log its metrics at its step, with the seconds since the trial's begin."""
        values = {**report.metrics, "seconds": report.seconds}
        self._unwritten[trial.key] += _metrics(values, report.time, report.step)
        # Each write takes as long as a batch of them.
        if time.monotonic() - self._written[trial.key] > _PAUSE:
            self._write(trial)

    def end(self, study: Study, trial: Trial) -> None:
        """Log last values, state and reason; end the run."""
        from mlflow.entities import RunTag

        ends = {f"end.{name}": value for name, value in trial.metrics.items()}
        if trial.value is not None:
            ends[f"end.{study.metric}"] = trial.value
        self._unwritten[trial.key] += _metrics(ends, trial.ended, 0)
        self._write(trial)
        run = self._runs.pop(trial.key)
        tags = {"state": trial.state, "failure": trial.failure}
        tags |= {
            name: as_text(value)[:_LONGEST]
            for name, value in trial.attributes.items()
            if isinstance(value, bool | int | float | str)
        }
        self._client.log_batch(run, tags=[RunTag(name, text) for name, text in tags.items()])
        if trial.phase == "confirm":
            self._log_validation(study, trial, run)
        status = "FAILED" if trial.state == "failed" else "FINISHED"
        self._client.set_terminated(run, status, _milliseconds(trial.ended))

    def abandon(self, trial: Trial) -> None:
        """Mark its run as killed; a later one takes its place."""
        run = self._runs.pop(trial.key, None)
        if run is not None:
            self._client.set_terminated(run, "KILLED")

    def progress(self, study: Study, trial: Trial) -> None:
        """Log a search trial's value and the best so far with the study's own run."""
        if trial.phase != "search" or trial.state != "complete" or trial.value is None:
            return
        best = self._best.add(study, trial)
        assert best is not None
        values = {study.metric: trial.value, f"best.{study.metric}": best}
        # Those that an earlier process has logged are the same, and MLflow keeps one of them.
        self._client.log_batch(
            self._study_run(study), metrics=_metrics(values, trial.ended, trial.number)
        )

    def conclude(self, study: Study) -> str:
        """Log the verdict and the files with the study's run."""
        run = self._study_run(study)
        if study.result:
            verdict = "\n".join(study.result.get("verdict", []))
            self._client.set_tag(run, "verdict", verdict)
            self._client.log_dict(run, dict(study.result), "result.json")
            for file in study.result.get("files", {}).values():
                if (self._folder / file).is_file():
                    self._client.log_artifact(run, str(self._folder / file))
            self._client.set_terminated(run, "FINISHED")
        command = f"mlflow ui --backend-store-uri {shlex.quote(masked(self._uri))}"
        if importlib.util.find_spec("flask") is not None:
            return command
        # The extra is mlflow-skinny; its pages need 30 packages more, and a database one version.
        version = importlib.metadata.version("mlflow-skinny")
        return f"pip install mlflow=={version} && {command}"

    def _log_validation(self, study: Study, trial: Trial, run: str) -> None:
        matrix = trial.attributes.get("confusion")
        if matrix:
            names = class_names_of(trial.attributes)
            kept_matrix = {"true_by_predicted": matrix} | ({"classes": [*names]} if names else {})
            self._client.log_dict(run, kept_matrix, "confusion.json")
        if (pairs := trial.attributes.get(worst_pairs.NAME)) is not None:
            self._client.log_dict(run, pairs, f"{worst_pairs.NAME}.json")
        validation = self._mistakes.of(study, trial)
        if validation is None:
            return
        kept = {**validation.summary.to_json(), "mistakes": validation.captions}
        self._client.log_dict(run, kept, "validation.json")
        if validation.pictures:
            self._client.log_image(run, mosaic(validation.pictures), "mistakes.png")

    def _write(self, trial: Trial) -> None:
        metrics = self._unwritten[trial.key]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._runs[trial.key], metrics=metrics[start : start + _BATCH])
        self._unwritten[trial.key] = []
        self._written[trial.key] = time.monotonic()

    def _study_run(self, study: Study) -> str:
        if not self._study:
            identity = f"{study.id}-study"
            found = self._named(identity)
            about = {"goal": study.about.get("goal"), "metric": study.metric}
            tags = {_RUN: identity, "phase": "study", **{k: str(v) for k, v in about.items()}}
            self._study = (
                found[0]
                if found
                else self._client.create_run(
                    self._experiment, run_name=study.name, tags=tags
                ).info.run_id
            )
        return self._study

    def _named(self, identity: str) -> list[str]:
        found = self._client.search_runs(
            [self._experiment], filter_string=f"tags.`{_RUN}` = '{identity}'"
        )
        return [run.info.run_id for run in found]


def _metrics(values: Mapping[str, float], when: float, step: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, value, _milliseconds(when), step) for name, value in values.items()]


def _milliseconds(when: float) -> int:
    return int(when * 1000)
