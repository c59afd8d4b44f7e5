"""TensorBoard: ``tensorboard --logdir results/<study>/tensorboard``.

One folder a trial, ``search-12``, with a curve a metric against the step and the time of day, and
its hyperparameters for the HPARAMS page; one folder ``study`` with every trial's end against its
number. Files are written by tensorboardX, which needs neither TensorFlow nor torch.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from studies.trackers.base import Place, Report, Study, Trial

PACKAGE = ("tensorboardX", "tensorboard")
STUDY = "study"


def create(study: Study, place: Place) -> "TensorBoard":
    """Return the tracker of ``study``."""
    return TensorBoard(place.folder / "tensorboard")


class TensorBoard:
    """A tracker; see ``base.Tracker``.

    Args:
        folder: for the folders of all runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[tuple[str, int], Any] = {}
        self._study: Any = None
        self._ended = 0
        self._best: float | None = None

    def begin(self, study: Study, trial: Trial) -> None:
        """Make its folder anew."""
        self._writers[trial.key] = self._writer(f"{trial.phase}-{trial.number}")

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Add a point to each curve, and how many seconds it took."""
        writer = self._writers[trial.key]
        for name, value in {**report.metrics, "seconds": report.seconds}.items():
            writer.add_scalar(name, value, report.step, walltime=report.time)

    def end(self, study: Study, trial: Trial) -> None:
        """Add hyperparameters, last values and state, and close the files."""
        from tensorboardX.summary import hparams  # type: ignore[import-untyped]

        writer = self._writers[trial.key]
        ends = {f"end/{name}": value for name, value in trial.metrics.items()}
        if trial.value is not None:
            ends[f"end/{study.metric}"] = trial.value
        params = {
            "phase": trial.phase,
            "state": trial.state,
            **{name: _simple(value) for name, value in trial.params.items()},
        }
        for part in hparams(params, ends):
            writer.file_writer.add_summary(part, walltime=trial.ended)
        for name, value in ends.items():
            writer.add_scalar(name, value, 0, walltime=trial.ended)
        text = {
            "state": trial.state,
            "failure": trial.failure,
            "seed": trial.seed,
            "seconds": trial.seconds,
            "params": trial.params,
            "config": study.config_of(trial),
        }
        writer.add_text("trial", _code(text), walltime=trial.ended)
        writer.close()
        del self._writers[trial.key]

    def abandon(self, trial: Trial) -> None:
        """Close its files."""
        writer = self._writers.pop(trial.key, None)
        if writer is not None:
            writer.close()

    def progress(self, study: Study, trial: Trial) -> None:
        """Add the trial's value and the best one so far, against the number of ended trials."""
        if self._study is None:
            self._study = self._writer(STUDY)
        if trial.phase != "search":
            return
        self._ended += 1
        if trial.value is None:
            return
        self._study.add_scalar(
            f"{trial.state}/{study.metric}", trial.value, trial.number, walltime=trial.ended
        )
        if trial.state == "complete":
            pick = max if study.maximize else min
            self._best = trial.value if self._best is None else pick(self._best, trial.value)
            self._study.add_scalar(
                f"best/{study.metric}", self._best, self._ended, walltime=trial.ended
            )

    def conclude(self, study: Study) -> str:
        """Add the verdict and the table, and close everything."""
        for key in list(self._writers):
            self._writers.pop(key).close()
        if self._study is None:
            self._study = self._writer(STUDY)
        self._study.add_text("goal", str(study.about.get("goal", "")))
        if study.result:
            self._study.add_text("verdict", "\n\n".join(study.result.get("verdict", [])))
            self._study.add_text("table", _table(study.result.get("table", [])))
        self._study.close()
        self._study = None
        return f"tensorboard --logdir {self._folder}"

    def _writer(self, name: str) -> Any:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return SummaryWriter(str(folder), flush_secs=10)


def _simple(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _code(value: Any) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1).splitlines())


def _table(rows: list[dict[str, str]]) -> str:
    if not rows:
        return ""
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    return "\n".join([*lines, *(" | ".join(row.values()) for row in rows)])
