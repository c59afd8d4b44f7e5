"""Weights & Biases: a run for each trial, and one of the study itself.

``group`` is the study, ``job_type`` search, confirm, test or study, the name ``search 12 adam``,
the state a tag: a pruned trial is a finished run, only a failed one has failed. Offline runs lie in
``results/<study>/wandb`` until ``python -m studies sync STUDY`` uploads them; nothing goes to the
network before. Online is only what asks for it, is logged in and reaches the server; after a run
that the server refuses, or has not answered for in time, runs are kept offline.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from mnist_core.evaluation import validation_summary
from studies.core.redaction import masked
from studies.tracking._mistake_images import Mistakes
from studies.tracking._wandb_media import (
    confusion_chart,
    mistake_images,
    study_charts,
    validation_charts,
)
from studies.tracking._wandb_runs import (
    AccountProblem,
    begin_run,
    check_account,
    is_of_run,
    nested,
    wait_until_ended,
)
from studies.tracking.base import Place, Report, Study, Trial

PACKAGE = ("wandb", "")
WRITE_SECONDS = 10.0
"""So long W&B may take to write what it has finished; normally it takes milliseconds."""
_SCALARS = (bool, int, float, str)


class NotWritten(Exception):
    """W&B has finished an offline run that is not on disk to its end."""


def create(study: Study, place: Place) -> "WandB":
    """Return the tracker of ``study``; offline, with a line that says why, if it must be."""
    # Before the import, which reads them. Artifacts wait here, too, with their runs.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(place.folder / "wandb")
    os.environ.pop("WANDB_MODE", None)  # the settings decide
    # Whoever started this has used W&B, too; its service knows runs that may have our ids.
    os.environ.pop("WANDB_SERVICE", None)
    (place.folder / "wandb").mkdir(exist_ok=True)
    online = place.settings.wandb.mode == "online"
    if online:
        try:
            check_account()
        except AccountProblem as problem:
            online = False
            place.say(f"{problem}; runs are kept offline")
    return WandB(place, online=online)


class WandB:
    """A tracker; see ``base.Tracker``.

    Args:
        place: where runs are kept, and the settings.
        online: whether runs are sent while they are written.
    """

    def __init__(self, place: Place, *, online: bool) -> None:
        self._place, self._online = place, online
        self._mistakes = Mistakes(place.say)
        self._runs: dict[tuple[str, int], Any] = {}
        self._study: Any = None
        self._ended = 0
        self._best: float | None = None

    def begin(self, study: Study, trial: Trial) -> None:
        """Begin its run anew; online one of the same id goes on, and takes no step twice."""
        self._runs[trial.key] = self._run(
            study,
            f"{study.id}-{trial.phase}-{trial.number}",
            job_type=trial.phase,
            name=study.title_of(trial),
            config={
                **study.config_of(trial),
                **trial.params,
                "seed": str(trial.seed),  # too long a number for a browser
                "trial": trial.number,
            },
            began=trial.began,
        )

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Log its metrics at its step, with the seconds since the trial's begin."""
        row = {**report.metrics, "seconds": report.seconds, "_timestamp": report.time}
        self._runs[trial.key].log(row, step=report.step)

    def end(self, study: Study, trial: Trial) -> None:
        """Log summary, state, confusion matrix, curves and mistakes; finish the run."""
        run = self._runs.pop(trial.key)
        run.tags = (trial.state,)
        matrix = trial.attributes.get("confusion")
        charts: dict[str, Any] = {}
        if matrix and trial.state == "complete":
            charts["confusion"] = confusion_chart(matrix)
        kept = validation_summary.of_attributes(trial.attributes)
        if kept is not None:
            charts |= validation_charts(kept)
            pictures = self._mistakes.draw(study, trial, kept)
            if pictures:
                charts["mistakes"] = mistake_images(kept.mistakes, pictures)
        if charts:
            run.log(charts)
        run.summary.update(
            {
                **{k: v for k, v in trial.attributes.items() if isinstance(v, _SCALARS)},
                **trial.metrics,
                **({} if trial.value is None else {study.metric: trial.value}),
                "state": trial.state,
                "trial_seconds": trial.seconds,
                **({"failure": trial.failure} if trial.failure else {}),
            }
        )
        self._finish(run, exit_code=int(trial.state == "failed"))

    def abandon(self, trial: Trial) -> None:
        """Finish a run as preempted: a later one of the same id goes on."""
        run = self._runs.pop(trial.key, None)
        if run is not None:
            run.mark_preempting()
            run.finish(exit_code=255)

    def progress(self, study: Study, trial: Trial) -> None:
        """Log a search trial's value and the best so far with the study's own run."""
        if trial.phase != "search":
            return
        run = self._study_run(study)
        self._ended += 1
        if trial.state == "complete" and trial.value is not None:
            pick = max if study.maximize else min
            self._best = trial.value if self._best is None else pick(self._best, trial.value)
        row = {
            "trial": trial.number,
            study.metric: trial.value,
            f"best_{study.metric}": self._best,
            "trial_seconds": trial.seconds,
            "complete": int(trial.state == "complete"),
            "_timestamp": trial.ended,
        }
        run.log({k: v for k, v in row.items() if v is not None}, step=self._ended)

    def conclude(self, study: Study) -> str:
        """Log tables, charts and the verdict with the study's run; finish all runs."""
        for key in list(self._runs):
            self._runs.pop(key).finish(exit_code=255)
        run = self._study_run(study)
        run.log(study_charts(study))
        result = study.result
        if result:
            run.summary["verdict"] = "\n".join(result.get("verdict", []))
            best = result.get("best") or {}
            run.summary.update({f"best.{name}": value for name, value in best.items()})
            self._log_files(study, run)
        self._finish(run)
        self._study = None
        if self._online:
            return f"{run.url or run.project}"
        return f"runs kept in {self._place.folder / 'wandb'}; upload: {self._place.sync}"

    def _log_files(self, study: Study, run: Any) -> None:
        from wandb import Artifact

        folder = self._place.folder
        kinds = {"best configuration": "config", "report": "report", "model": "model"}
        for what, file in study.result.get("files", {}).items():
            path = folder / file
            if what in kinds and path.is_file():
                artifact = Artifact(f"{study.name}-{kinds[what]}", type=kinds[what])
                artifact.add_file(str(path))
                run.log_artifact(artifact)

    def _study_run(self, study: Study) -> Any:
        if self._study is None:
            about = study.about
            names = ("goal", "metric", "direction", "scientific", "baseline", "trials", "space")
            self._study = self._run(
                study,
                f"{study.id}-study",
                job_type="study",
                name=study.name,
                config={
                    **about.get("train", {}),
                    **{name: about.get(name) for name in (*names, "machine", "versions")},
                    "data.fingerprint": about.get("data"),
                },
                began=min((t.began for t in study.trials.values()), default=0.0),
            )
        return self._study

    def _run(
        self,
        study: Study,
        identity: str,
        *,
        job_type: str,
        name: str,
        config: dict[str, Any],
        began: float,
    ) -> Any:
        import wandb

        self._remove(identity)
        own = self._place.settings.wandb
        about = {
            "project": own.project,
            "entity": own.entity or None,
            "group": study.name,
            "job_type": job_type,
            "name": name,
            "id": identity,
            "config": nested(config),
            "dir": str(self._place.folder),
        }
        try:
            return begin_run(about, began, online=self._online)
        except wandb.errors.Error as error:
            if self._online:
                self._online = False
                reason = " ".join(masked(str(error)).split())
                self._place.say(f"W&B takes no run: {reason[:120]}; further runs are kept offline")
            raise  # under this id its service begins no other run: that is for the next process

    def _remove(self, identity: str) -> None:
        """Remove what is here of an earlier run ``identity``."""
        for left in (self._place.folder / "wandb").glob(f"*run-*-{identity}"):
            if is_of_run(left, identity):
                shutil.rmtree(left)

    def _finish(self, run: Any, *, exit_code: int = 0) -> None:
        """Finish ``run``, and wait until it is on disk, or sent.

        Raises:
            NotWritten: it is not on disk, because W&B's service is gone, or the disk is full.
        """
        online, file = not run.offline, Path(run.settings.sync_file)
        run.finish(exit_code=exit_code)
        if not online and not wait_until_ended(file, WRITE_SECONDS):
            raise NotWritten(f"W&B has not written {file.name} to its end")
