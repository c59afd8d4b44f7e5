"""TensorBoard: ``tensorboard --logdir results/<study>/tensorboard``.

One folder a trial, ``search-12``, with a curve a metric against the step and the time of day, its
hyperparameters for the HPARAMS page, and its surest mistakes as a picture; one folder ``study``
with every trial's end against its number.
"""

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_core.evaluation import validation_summary
from studies.analysis.mistakes import mosaic
from studies.tracking._mistake_images import Mistakes
from studies.tracking._tensorboard_files import RunFile
from studies.tracking.base import Place, Report, Study, Trial

PACKAGE = ("tensorboard", "tensorboard")
STUDY = "study"


def create(study: Study, place: Place) -> "TensorBoard":
    """Return the tracker of ``study``."""
    return TensorBoard(place.folder / "tensorboard", Mistakes(place.say))


class TensorBoard:
    """A tracker; see ``base.Tracker``.

    Args:
        folder: for the folders of all runs.
        mistakes: draws those of trials.
    """

    def __init__(self, folder: Path, mistakes: Mistakes) -> None:
        self._folder, self._mistakes = folder, mistakes
        self._files: dict[tuple[str, int], RunFile] = {}
        self._study: RunFile | None = None
        self._ended = 0
        self._best: float | None = None

    def begin(self, study: Study, trial: Trial) -> None:
        """Make its folder anew."""
        self._files[trial.key] = self._file(f"{trial.phase}-{trial.number}")

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Add a point to each curve, and how many seconds it took."""
        for name, value in {**report.metrics, "seconds": report.seconds}.items():
            self._files[trial.key].scalar(name, value, report.step, report.time)

    def end(self, study: Study, trial: Trial) -> None:
        """Add hyperparameters, last values, state and mistakes, and close the file."""
        file = self._files[trial.key]
        ends = {f"end/{name}": value for name, value in trial.metrics.items()}
        if trial.value is not None:
            ends[f"end/{study.metric}"] = trial.value
        values = {"phase": trial.phase, "state": trial.state}
        values |= {name: _simple(value) for name, value in trial.params.items()}
        file.hyperparameters(
            values,
            columns=_columns(study, values),
            metrics=_metrics(study, ends),
            began=trial.began,
            ended=trial.ended,
        )
        for name, value in ends.items():
            file.scalar(name, value, 0, trial.ended)
        text = {
            "state": trial.state,
            "failure": trial.failure,
            "seed": trial.seed,
            "seconds": trial.seconds,
            "params": trial.params,
            "config": study.config_of(trial),
        }
        file.text("trial", _code(text), trial.ended)
        kept = validation_summary.of_attributes(trial.attributes)
        pictures = self._mistakes.draw(study, trial, kept) if kept is not None else []
        if kept is not None and pictures:
            said = [mistake.text() for mistake in kept.mistakes]
            file.image("mistakes", mosaic(pictures), trial.ended)
            file.text("mistakes_said", "\n".join(f"1. {line}" for line in said), trial.ended)
        file.close()
        del self._files[trial.key]

    def abandon(self, trial: Trial) -> None:
        """Close its file."""
        file = self._files.pop(trial.key, None)
        if file is not None:
            file.close()

    def progress(self, study: Study, trial: Trial) -> None:
        """Add a search trial's value against its number, and the best one so far."""
        if self._study is None:
            self._study = self._file(STUDY)
        if trial.phase != "search":
            return
        self._ended += 1
        if trial.value is None:
            return
        metric, ended = study.metric, trial.ended
        self._study.scalar(f"{trial.state}/{metric}", trial.value, trial.number, ended)
        if trial.state == "complete":
            pick = max if study.maximize else min
            self._best = trial.value if self._best is None else pick(self._best, trial.value)
            self._study.scalar(f"best/{metric}", self._best, self._ended, ended)

    def conclude(self, study: Study) -> str:
        """Add the verdict and the table, and close everything."""
        for key in list(self._files):
            self._files.pop(key).close()
        file = self._study or self._file(STUDY)
        now = max((trial.ended for trial in study.trials.values()), default=0.0)
        file.text("goal", str(study.about.get("goal", "")), now)
        if study.result:
            file.text("verdict", "\n\n".join(study.result.get("verdict", [])), now)
            file.text("table", _table(study.result.get("table", [])), now)
        file.close()
        self._study = None
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def _file(self, name: str) -> RunFile:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return RunFile(folder)


def _columns(study: Study, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the HPARAMS page, by name with a value that is like the others.

    TensorBoard takes them all from the first run that it finds. So each run names those of the
    whole space, also what is a condition's and not its own.
    """
    examples: dict[str, Any] = {}
    for name, described in study.about.get("space", {}).items():
        choices = [_simple(choice) for choice in described.get("choices", [described.get("low")])]
        alike = len({isinstance(choice, str) for choice in choices}) == 1
        examples[name] = choices[0] if alike else str(choices[0])
    return {**values, **examples}


def _metrics(study: Study, ends: Mapping[str, float]) -> list[str]:
    """Return the curves whose ends stand on the HPARAMS page, of all trials so far."""
    known = {f"end/{study.metric}": None, **dict.fromkeys(ends)}
    for trial in study.trials.values():
        known |= dict.fromkeys(f"end/{name}" for name in trial.metrics)
    return list(known)


def _simple(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _code(value: Any) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1).splitlines())


def _table(rows: list[dict[str, str]]) -> str:
    if not rows:
        return ""
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    return "\n".join([*lines, *(" | ".join(row.values()) for row in rows)])
