"""W&B: a run for each training, offline in ``<runs>/wandb``, or sent if ``WANDB_MODE=online``.

Project and user are W&B's own ``WANDB_PROJECT`` and ``WANDB_ENTITY``.
"""

import os
from collections.abc import Mapping

from mnist_core.console.shell_words import argument
from mnist_core.files import from_here
from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun
from mnist_core.tracking.wandb_internals import run_file
from mnist_core.tracking.wandb_runs import WandbRuns, confusion_chart

PROJECT = "mnist-core"
_INTERRUPTED = 255
"""The exit code with which W&B shows a run as crashed; a failed one has 1."""


def create(run: TrackedRun) -> "WandbTracker":
    """Return the tracker of ``run``."""
    return WandbTracker(run)


class WandbTracker(RunTracker):
    """The W&B run of one training."""

    def __init__(self, run: TrackedRun) -> None:
        self._said: list[str] = []
        online = os.environ.get("WANDB_MODE") == "online"
        self._runs = WandbRuns(
            run.root.absolute(),
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            entity=os.environ.get("WANDB_ENTITY") or None,
            online=online,
            say=self._said.append,
        )
        self._class_names = run.class_names
        self._run = self._runs.start(
            run.identity,
            group=None,
            job_type="train",
            name=run.name,
            config={**run.settings, "environment": run.environment},
            began=run.began,
        )

    def report(self, row: Mapping[str, float], time: float) -> None:
        """Log its metrics at its step, with the seconds since the start."""
        self._run.log({**row, "_timestamp": time}, step=int(row["step"]))

    def end(self, how: RunEnd) -> str:
        """Log summary, state and confusion matrix; finish the run."""
        run = self._run
        run.tags = (how.state,)
        if how.confusion:
            run.log({"confusion": confusion_chart(how.confusion, self._class_names)})
        run.summary.update({**how.facts, **how.metrics, "state": how.state})
        if how.reason:
            run.summary["reason"] = how.reason
        if how.state == "interrupted":
            run.mark_preempting()
        codes = {"finished": 0, "failed": 1, "interrupted": _INTERRUPTED}
        where = run.url if not run.offline else None
        folder = from_here(run_file(run).parent)
        self._runs.finish(run, exit_code=codes[how.state])
        kept = where or f"offline; upload: wandb sync {argument(folder)}"
        return "; ".join([*self._said, kept])
