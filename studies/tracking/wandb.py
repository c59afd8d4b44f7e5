"""Weights & Biases: a run for each trial, and one of the study itself.

``group`` is the study, ``job_type`` search, confirm, test or study, the name ``search 12 adam``,
the state a tag. Offline runs stay in ``results/<study>/wandb`` until ``python -m studies sync
STUDY`` uploads them.
"""

import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from studies.core.redaction import masked
from studies.tracking.base import BestSoFar, Place, Report, Study, Tracker, Trial
from studies.tracking.trial_mistakes import Mistakes
from studies.tracking.wandb_charts import study_charts, trial_charts
from studies.tracking.wandb_internals import run_file, run_settings, wait_until_ended
from studies.tracking.wandb_upload import AccountProblem, check_account

PACKAGE = ("wandb", "")
WRITE_SECONDS = 10.0
"""Seconds that W&B may take to write what it has finished; normally it takes milliseconds."""
_SCALARS = (bool, int, float, str)
_FOLDER = re.compile(r"(?:offline-)?run-\d+_\d+-(.+)")


class NotWritten(Exception):
    """W&B has finished an offline run that is not on disk to its end."""


def create(study: Study, place: Place) -> "WandB":
    """Return the tracker of ``study``; offline, with a line that says why, if it must be."""
    # Before the import, which reads them. Artifacts wait here, too, with their runs.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(place.folder / "wandb")
    os.environ.pop("WANDB_MODE", None)  # the settings decide
    # The parent process may use W&B, too; its service knows runs that may have our ids.
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


class WandB(Tracker):
    """The tracker of one study."""

    def __init__(self, place: Place, *, online: bool) -> None:
        self._place, self._online = place, online
        self._mistakes = Mistakes(place.say)
        self._runs: dict[tuple[str, int], Any] = {}
        self._study: Any = None
        self._best = BestSoFar()

    def begin(self, study: Study, trial: Trial) -> None:
        """Start its run from nothing; an online run of the same id resumes."""
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
        """Log its metrics at its step, with the seconds since the trial's start."""
        row = {**report.metrics, "seconds": report.seconds, "_timestamp": report.time}
        self._runs[trial.key].log(row, step=report.step)

    def end(self, study: Study, trial: Trial) -> None:
        """Log summary, state, confusion matrix, curves and mistakes; finish the run."""
        run = self._runs.pop(trial.key)
        run.tags = (trial.state,)
        charts = trial_charts(trial, self._mistakes.of(study, trial))
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
        self._finish(run, exit_code=int(trial.state == "failed"))  # a pruned trial is finished

    def abandon(self, trial: Trial) -> None:
        """Finish a run as preempted: a later run of the same id resumes."""
        run = self._runs.pop(trial.key, None)
        if run is not None:
            run.mark_preempting()
            run.finish(exit_code=255)

    def progress(self, study: Study, trial: Trial) -> None:
        """Log a search trial's value and the best so far with the study's own run."""
        if trial.phase != "search":
            return
        run = self._study_run(study)
        best = self._best.add(study, trial)
        row = {
            "trial": trial.number,
            study.metric: trial.value,
            f"best_{study.metric}": best,
            "trial_seconds": trial.seconds,
            "complete": int(trial.state == "complete"),
            "_timestamp": trial.ended,
        }
        run.log({k: v for k, v in row.items() if v is not None}, step=self._best.trials)

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
        try:
            return wandb.init(
                project=own.project,
                entity=own.entity or None,
                group=study.name,
                job_type=job_type,
                name=name,
                id=identity,
                config=nested(config),
                dir=str(self._place.folder),
                resume="allow" if self._online else None,
                reinit="create_new",
                settings=run_settings(online=self._online, began=began),
            )
        except wandb.errors.Error as error:
            if self._online:
                self._online = False  # a server that hangs would cost 20 seconds for each trial
                reason = " ".join(masked(str(error)).split())
                self._place.say(f"W&B takes no run: {reason[:120]}; further runs are kept offline")
            raise  # its service starts no other run of this id: that is for the next process

    def _remove(self, identity: str) -> None:
        """Remove what an earlier run ``identity`` has left, not one whose id ends alike."""
        for left in (self._place.folder / "wandb").glob(f"*run-*-{identity}"):
            found = _FOLDER.fullmatch(left.name)
            if found is not None and found[1] == identity:
                # An offline run of the same id would be uploaded beside the new one.
                shutil.rmtree(left)

    def _finish(self, run: Any, *, exit_code: int = 0) -> None:
        """Finish ``run``, and wait until it is on disk, or sent."""
        online, file = not run.offline, run_file(run)
        run.finish(exit_code=exit_code)
        # W&B's service may have died, or the disk may be full: then the trial is not kept.
        if not online and not wait_until_ended(file, WRITE_SECONDS):
            raise NotWritten(f"W&B has not written {file.name} to its end")


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into tables, as W&B wants them; a name that is also a table stays."""
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
