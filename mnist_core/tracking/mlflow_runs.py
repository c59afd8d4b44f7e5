"""MLflow: its client, and a run that is written to."""

import importlib.metadata
import importlib.util
import os
import shlex
import time
from collections.abc import Mapping
from typing import Any

from mnist_core.console.redaction import masked

_PAUSE = 2.0
"""Seconds between two writes of a run's metrics: each takes as long as a batch of them."""
_BATCH = 900
"""Metrics a call; MLflow takes 1,000 things at most."""
_PARAMS = 100
LONGEST = 500
"""Characters of a parameter's or tag's value."""


def connect(uri: str) -> Any:
    """Return a client of the tracking server, or database, at ``uri``."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # A server that does not answer is not waited for.
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "10"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def pages_command(uri: str) -> str:
    """Return the command that shows what is kept at ``uri``."""
    command = f"mlflow ui --backend-store-uri {shlex.quote(masked(uri))}"
    if importlib.util.find_spec("flask") is not None:
        return command
    # The extra is mlflow-skinny; its pages need 30 packages more, and a database one version.
    version = importlib.metadata.version("mlflow-skinny")
    return f"pip install mlflow=={version} && {command}"


class MlflowRun:
    """A run that has started; ``identity`` is MLflow's own."""

    def __init__(self, client: Any, identity: str) -> None:
        self.identity = identity
        self._client = client
        self._unwritten: list[Any] = []
        self._written = time.monotonic()

    def log_params(self, values: Mapping[str, str]) -> None:
        """Log parameters, cut to what MLflow takes."""
        from mlflow.entities import Param

        params = [Param(name, text[:LONGEST]) for name, text in values.items()]
        for start in range(0, len(params), _PARAMS):
            self._client.log_batch(self.identity, params=params[start : start + _PARAMS])

    def log_metrics(self, values: Mapping[str, float], when: float, step: int) -> None:
        """Log metrics; they may be written later, with others."""
        self._unwritten += metrics_of(values, when, step)
        if time.monotonic() - self._written > _PAUSE:
            self.flush()

    def flush(self) -> None:
        """Write all metrics now."""
        metrics = self._unwritten
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self.identity, metrics=metrics[start : start + _BATCH])
        self._unwritten = []
        self._written = time.monotonic()

    def log_tags(self, values: Mapping[str, str]) -> None:
        """Log tags, cut to what MLflow takes."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, text[:LONGEST]) for name, text in values.items()]
        self._client.log_batch(self.identity, tags=tags)

    def end(self, status: str, when: float) -> None:
        """Write all metrics and end the run: FINISHED, FAILED or KILLED."""
        self.flush()
        self._client.set_terminated(self.identity, status, milliseconds(when))


def metrics_of(values: Mapping[str, float], when: float, step: int) -> list[Any]:
    """Return MLflow's metrics with the ``values``."""
    from mlflow.entities import Metric

    return [Metric(name, value, milliseconds(when), step) for name, value in values.items()]


def named(client: Any, experiment: str, tag: str, value: str) -> list[str]:
    """Return MLflow's identities of the runs in ``experiment`` whose ``tag`` has ``value``."""
    found = client.search_runs([experiment], filter_string=f"tags.`{tag}` = '{value}'")
    return [run.info.run_id for run in found]


def milliseconds(when: float) -> int:
    """Return a time in seconds as MLflow has it."""
    return int(when * 1000)
