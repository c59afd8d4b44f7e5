"""MLflow: ``mlflow ui --backend-store-uri sqlite:///results/<study>/mlflow.db``.

An experiment for the study, and in it a run for each trial below one of the study itself.
"""

from typing import Any

from mnist_core.evaluation import worst_pairs
from mnist_core.evaluation.pictures import mosaic
from mnist_core.tracking.mlflow_runs import (
    MlflowRun,
    connect,
    metrics_of,
    milliseconds,
    named,
    pages_command,
)
from studies.core.trials import class_names_of
from studies.storage.url import sqlite_url
from studies.tracking.base import BestSoFar, Place, Report, Study, Tracker, Trial, as_text
from studies.tracking.trial_mistakes import Mistakes

PACKAGE = ("mlflow", "mlflow")
FILE = "mlflow.db"
_RUN = "studies.run"
"""The tag that names a run's study, phase and number."""


def create(study: Study, place: Place) -> "MLflow":
    """Return the tracker of ``study``, with its experiment."""
    file = place.folder / FILE
    # One SQLite file: MLflow refuses plain files since version 3.
    uri = place.settings.mlflow.uri or sqlite_url(file)
    client = connect(uri)
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
        self._runs: dict[tuple[str, int], MlflowRun] = {}
        self._study = ""
        self._best = BestSoFar()

    def begin(self, study: Study, trial: Trial) -> None:
        """Begin its run; what an earlier process has left of it is removed."""
        identity = f"{study.id}-{trial.phase}-{trial.number}"
        # A process that was killed has left a run of this trial that is half done.
        for left in named(self._client, self._experiment, _RUN, identity):
            self._client.delete_run(left)
        made = self._client.create_run(
            self._experiment,
            run_name=study.title_of(trial),
            start_time=milliseconds(trial.began),
            tags={
                _RUN: identity,
                "phase": trial.phase,
                "trial": str(trial.number),
                "mlflow.parentRunId": self._study_run(study),
            },
        )
        run = self._runs[trial.key] = MlflowRun(self._client, made.info.run_id)
        values = {**study.config_of(trial), **trial.params, "seed": trial.seed}
        run.log_params({name: as_text(value) for name, value in values.items()})

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Log its metrics at its step, with the seconds since the trial's begin."""
        values = {**report.metrics, "seconds": report.seconds}
        self._runs[trial.key].log_metrics(values, report.time, report.step)

    def end(self, study: Study, trial: Trial) -> None:
        """Log last values, state and reason; end the run."""
        ends = {f"end.{name}": value for name, value in trial.metrics.items()}
        if trial.value is not None:
            # Of a confirmed trial the value is another metric, which it has beside this one.
            ends.setdefault(f"end.{study.metric}", trial.value)
        run = self._runs.pop(trial.key)
        run.log_metrics(ends, trial.ended, 0)
        run.flush()
        tags = {"state": trial.state, "failure": trial.failure}
        tags |= {
            name: as_text(value)
            for name, value in trial.attributes.items()
            if isinstance(value, bool | int | float | str)
        }
        run.log_tags(tags)
        if trial.phase == "confirm":
            self._log_validation(study, trial, run.identity)
        run.end("FAILED" if trial.state == "failed" else "FINISHED", trial.ended)

    def abandon(self, trial: Trial) -> None:
        """Mark its run as killed; a later one takes its place."""
        run = self._runs.pop(trial.key, None)
        if run is not None:
            self._client.set_terminated(run.identity, "KILLED")

    def progress(self, study: Study, trial: Trial) -> None:
        """Log a search trial's value and the best so far with the study's own run."""
        if trial.phase != "search" or trial.state != "complete" or trial.value is None:
            return
        best = self._best.add(study, trial)
        assert best is not None
        values = {study.metric: trial.value, f"best.{study.metric}": best}
        # Those that an earlier process has logged are the same, and MLflow keeps one of them.
        self._client.log_batch(
            self._study_run(study), metrics=metrics_of(values, trial.ended, trial.number)
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
        return pages_command(self._uri)

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

    def _study_run(self, study: Study) -> str:
        if not self._study:
            identity = f"{study.id}-study"
            found = named(self._client, self._experiment, _RUN, identity)
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
