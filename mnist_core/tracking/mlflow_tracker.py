"""MLflow: a run for each training in one experiment, in ``<runs>/mlflow.db``.

``MLFLOW_TRACKING_URI`` names a server in its place, as for any program of MLflow.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun
from mnist_core.tracking.locked import locked
from mnist_core.tracking.mlflow_runs import MlflowRun, connect, milliseconds, named, pages_command

EXPERIMENT = "mnist-core"
FILE = "mlflow.db"
_IDENTITY = "mnist_core.run"
"""The tag that names a training."""


def create(run: TrackedRun) -> "MlflowTracker":
    """Return the tracker of ``run``."""
    return MlflowTracker(run)


class MlflowTracker(RunTracker):
    """The MLflow run of one training."""

    def __init__(self, run: TrackedRun) -> None:
        root = run.root.absolute()
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{quote(str(root / FILE))}"
        # Trainings that begin at once would make the tables twice.
        with locked(root / f"{FILE}.lock"):
            self._client = connect(self._uri)
            experiment = self._experiment(str((root / "mlflow").as_uri()))
        # A training that is resumed has left a run that is half done.
        for left in named(self._client, experiment, _IDENTITY, run.identity):
            self._client.delete_run(left)
        tags = {_IDENTITY: run.identity, "environment": run.environment}
        made = self._client.create_run(
            experiment, run_name=run.name, start_time=milliseconds(run.began), tags=tags
        )
        self._run = MlflowRun(self._client, made.info.run_id)
        self._run.log_params({name: str(value) for name, value in run.settings.items()})

    def report(self, row: Mapping[str, float], time: float) -> None:
        """Log its metrics at its step, with the seconds since the start."""
        values = {name: value for name, value in row.items() if name != "step"}
        self._run.log_metrics(values, time, int(row["step"]))

    def end(self, how: RunEnd) -> str:
        """Log last metrics, facts, state and confusion matrix; end the run."""
        self._run.log_metrics({f"end.{n}": v for n, v in how.metrics.items()}, how.time, 0)
        tags = {"state": how.state, **{name: str(value) for name, value in how.facts.items()}}
        self._run.log_tags({**tags, **({"reason": how.reason} if how.reason else {})})
        if how.confusion:
            matrix = {"true_by_predicted": [list(row) for row in how.confusion]}
            self._client.log_dict(self._run.identity, matrix, "confusion.json")
        status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
        self._run.end(status[how.state], how.time)
        return pages_command(self._uri)

    def _experiment(self, artifacts: str) -> str:
        found: Any = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        own = None if os.environ.get("MLFLOW_TRACKING_URI") else artifacts
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=own))
