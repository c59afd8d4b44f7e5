"""TensorBoard: ``tensorboard --logdir <runs>/tensorboard``, a folder for each training."""

import shutil
from collections.abc import Mapping

from mnist_core.console.shell_words import argument
from mnist_core.tracking.base import RunEnd, RunTracker, TrackedRun
from mnist_core.tracking.tensorboard_internals import as_code, open_run, plain

FOLDER = "tensorboard"


def create(run: TrackedRun) -> "TensorBoardTracker":
    """Return the tracker of ``run``."""
    return TensorBoardTracker(run)


class TensorBoardTracker(RunTracker):
    """The event file of one training."""

    def __init__(self, run: TrackedRun) -> None:
        self._run, self._root = run, run.root / FOLDER
        folder = self._root / run.environment / run.name
        # TensorBoard would draw the points of a resumed training twice, as a zigzag.
        shutil.rmtree(folder, ignore_errors=True)
        self._file = open_run(folder)

    def report(self, row: Mapping[str, float], time: float) -> None:
        """Add a point to the curve of each metric."""
        step = int(row["step"])
        for name, value in row.items():
            if name != "step":
                self._file.scalar(name, value, step, time)

    def end(self, how: RunEnd) -> str:
        """Add the settings with the last metrics, the state and the reason."""
        run, file = self._run, self._file
        ends = {f"end/{name}": value for name, value in how.metrics.items()}
        values = {"state": how.state, "environment": run.environment}
        values |= {name: plain(value) for name, value in run.settings.items()}
        file.hyperparameters(values, began=run.began, ended=how.time)
        for name, value in ends.items():
            file.scalar(name, value, 0, how.time)
        text = {"state": how.state, "reason": how.reason, **how.facts, **run.settings}
        file.text("run", as_code(text), how.time)
        file.close()
        return f"tensorboard --logdir {argument(self._root)}"
