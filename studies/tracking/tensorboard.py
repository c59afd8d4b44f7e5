"""TensorBoard: ``tensorboard --logdir results/<study>/tensorboard``.

One folder for each trial, as TensorBoard calls a run by its folder: ``search 12 adam``,
``confirm adam seed 3 (7)`` with the trial's number. And one ``study``: every trial's last value by
its number.
"""

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_core.evaluation.pictures import mosaic
from mnist_core.tracking.tensorboard_internals import RunFile, as_code, open_run, plain
from studies.core.formatting import metric_on_test
from studies.tracking.base import BestSoFar, Place, Report, Study, Tracker, Trial, markdown_table
from studies.tracking.trial_mistakes import Mistakes

PACKAGE = ("tensorboard", "tensorboard")
STUDY = "study"
_NOT_IN_NAMES = re.compile(r"[^\w .,()+=-]")
_LONGEST = 100


def create(study: Study, place: Place) -> "TensorBoard":
    """Return the tracker of ``study``."""
    return TensorBoard(place.folder / "tensorboard", Mistakes(place.say))


class TensorBoard(Tracker):
    """The tracker of one study."""

    def __init__(self, folder: Path, mistakes: Mistakes) -> None:
        self._folder, self._mistakes = folder, mistakes
        self._files: dict[tuple[str, int], RunFile] = {}
        self._study: RunFile | None = None
        self._best = BestSoFar()

    def begin(self, study: Study, trial: Trial) -> None:
        """Start its folder from nothing."""
        self._files[trial.key] = self._file(_folder_name(study, trial))

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Add a point to each curve, and to that of the seconds."""
        for name, value in {**report.metrics, "seconds": report.seconds}.items():
            self._files[trial.key].scalar(name, value, report.step, report.time)

    def end(self, study: Study, trial: Trial) -> None:
        """Add hyperparameters, last values, state and mistakes, and close the file."""
        file = self._files[trial.key]
        ends = {f"end/{name}": value for name, value in trial.metrics.items()}
        if trial.value is not None:
            # Of a confirmed trial the value is another metric, which it has beside this one.
            ends.setdefault(f"end/{study.metric}", trial.value)
        values = {"phase": trial.phase, "state": trial.state}
        values |= {name: plain(value) for name, value in trial.params.items()}
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
        file.text("trial", as_code(text), trial.ended)
        validation = self._mistakes.of(study, trial)
        if validation is not None and validation.pictures:
            file.image("mistakes", mosaic(validation.pictures), trial.ended)
            listed = "\n".join(f"1. {line}" for line in validation.captions)
            file.text("mistakes_said", listed, trial.ended)
        file.close()
        del self._files[trial.key]

    def abandon(self, trial: Trial) -> None:
        """Close its file."""
        file = self._files.pop(trial.key, None)
        if file is not None:
            file.close()

    def progress(self, study: Study, trial: Trial) -> None:
        """Add a search trial's value by its number, and the best value so far."""
        if self._study is None:
            self._study = self._file(STUDY)
        if trial.phase != "search":
            return
        best, metric = self._best.add(study, trial), study.metric
        if trial.value is None:
            return
        self._study.scalar(f"{trial.state}/{metric}", trial.value, trial.number, trial.ended)
        if trial.state == "complete" and best is not None:
            self._study.scalar(f"best/{metric}", best, self._best.trials, trial.ended)

    def conclude(self, study: Study) -> str:
        """Add the verdict and the table, and close everything."""
        for key in list(self._files):
            self._files.pop(key).close()
        file = self._study or self._file(STUDY)
        now = max((trial.ended for trial in study.trials.values()), default=0.0)
        file.text("goal", str(study.about.get("goal", "")), now)
        if study.result:
            file.text("verdict", "\n\n".join(study.result.get("verdict", [])), now)
            file.text("table", markdown_table(study.result.get("table", [])), now)
        file.close()
        self._study = None
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def _file(self, name: str) -> RunFile:
        folder = self._folder / name
        # TensorBoard would draw the points of a trial that was started twice as one zigzag.
        shutil.rmtree(folder, ignore_errors=True)
        return open_run(folder)


def _folder_name(study: Study, trial: Trial) -> str:
    """Return the name of a trial's folder, which no other trial of the study has."""
    title = _NOT_IN_NAMES.sub("_", study.title_of(trial))[:_LONGEST]
    # A later search may confirm another configuration of the same choice on the same seed.
    return f"{title} ({trial.number})" if trial.label else title


def _columns(study: Study, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the HPARAMS page by name, each with an example of its values."""
    # TensorBoard takes all columns from the first run that it finds. So each run names those of
    # the whole space, also parameters that it does not have.
    examples: dict[str, Any] = {}
    for name, described in study.about.get("space", {}).items():
        choices = [plain(choice) for choice in described.get("choices", [described.get("low")])]
        # A column has one type: True and "auto" together are text.
        alike = len({isinstance(choice, str) for choice in choices}) == 1
        examples[name] = choices[0] if alike else str(choices[0])
    return {**values, **examples}


def _metrics(study: Study, ends: Mapping[str, float]) -> list[str]:
    """Return the curves of all trials so far whose last values the HPARAMS page shows."""
    # TensorBoard takes these columns, too, from one run: so also what only tested models have.
    known = {f"end/{study.metric}": None, **dict.fromkeys(ends)}
    if study.metric.startswith("val_"):
        known[f"end/{metric_on_test(study.metric)}"] = None
    for trial in study.trials.values():
        known |= dict.fromkeys(f"end/{name}" for name in trial.metrics)
    return list(known)
