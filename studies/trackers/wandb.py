"""Weights & Biases: a run for each trial, and one of the study itself.

``group`` is the study, ``job_type`` search, confirm, test or study, the name a trial's number, its
state a tag: a pruned trial is a finished run, only a failed one has failed. Offline runs lie in
``results/<study>/wandb`` until ``python -m studies sync STUDY`` uploads them; nothing goes to the
network before. Online is only what asks for it, is logged in and reaches the server.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_core import validation_summary
from studies.trackers._mistakes import Mistakes
from studies.trackers._wandb_account import AccountProblem, check_account
from studies.trackers._wandb_media import (
    confusion_chart,
    mistake_images,
    study_charts,
    validation_charts,
)
from studies.trackers.base import Place, Report, Study, Trial

PACKAGE = ("wandb", "")
INIT_SECONDS = 30.0
"""An online run that the server has not answered for by then fails; the next one is tried."""
_SCALARS = (bool, int, float, str)


def create(study: Study, place: Place) -> "WandB":
    """Return the tracker of ``study``; offline, with a line that says why, if it must be."""
    # Before the import, which reads them. Artifacts wait here, too, with their runs.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(place.folder / "wandb")
    os.environ.pop("WANDB_MODE", None)  # the settings decide
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
            name=str(trial.number),
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
        run.finish(exit_code=int(trial.state == "failed"))

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
        run.finish()
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
                    **{name: about.get(name) for name in (*names, "machine", "versions", "data")},
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

        folder, own = self._place.folder, self._place.settings.wandb
        for left in (folder / "wandb").glob(f"*run-*-{identity}"):
            if not self._online and _of_run(left, identity):
                shutil.rmtree(left)
        return wandb.init(
            project=own.project,
            entity=own.entity or None,
            group=study.name,
            job_type=job_type,
            name=name,
            id=identity,
            resume="allow" if self._online else None,
            config=nested(config),
            dir=str(folder),
            reinit="create_new",
            settings=wandb.Settings(
                mode="online" if self._online else "offline",
                console="off",
                silent=True,
                init_timeout=INIT_SECONDS,
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_start_time=began or None,
                x_disable_stats=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                # Listing all packages takes forty times as long as all the rest.
                x_save_requirements=False,
                # A kill loses a second of history, not fifteen.
                x_transaction_log_flush_interval=1,
            ),
        )


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into tables, as W&B wants them, but for a name that is a table, too."""
    found: dict[str, Any] = {}
    for name in sorted(config):
        *parents, leaf = name.split(".")
        table: Any = found
        for parent in parents:
            table = table.setdefault(parent, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[leaf] = config[name]
        else:
            found[name] = config[name]
    return found


def _of_run(folder: Path, identity: str) -> bool:
    """Whether ``folder`` is that of run ``identity``, not of one whose id ends alike."""
    return folder.name.split("-", 3)[-1] == identity and folder.name.startswith("offline-run-")
