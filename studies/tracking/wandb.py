"""Weights & Biases: a run for each trial, and one of the study itself.

``group`` is the study, ``job_type`` search, confirm, test or study, the name ``search 12 adam``,
the state a tag. Offline runs stay in ``results/<study>/wandb`` until ``python -m studies sync
STUDY`` uploads them.
"""

import importlib
from typing import Any

from mnist_core.tracking.wandb_runs import WandbRuns, import_early
from studies.tracking.base import BestSoFar, Place, Report, Study, Tracker, Trial
from studies.tracking.trial_mistakes import Mistakes
from studies.tracking.wandb_charts import study_charts, trial_charts

PACKAGE = ("wandb", "")
_SCALARS = (bool, int, float, str)


def create(study: Study, place: Place) -> "WandB":
    """Return the tracker of ``study``; offline, with a line that says why, if it must be."""
    own = place.settings.wandb
    runs = WandbRuns(
        place.folder,
        project=own.project,
        entity=own.entity or None,
        online=own.mode == "online",
        say=place.say,
    )
    return WandB(place, runs)


def warm_up(place: Place) -> None:
    """Import what the first run and the study's end need: two seconds of a processor."""
    import_early(place.folder)
    for name in ("pandas", "studies.analysis.figure_data"):
        importlib.import_module(name)


class WandB(Tracker):
    """The tracker of one study."""

    def __init__(self, place: Place, runs: WandbRuns) -> None:
        self._place, self._keeper = place, runs
        self._mistakes = Mistakes(place.say)
        self._runs: dict[tuple[str, int], Any] = {}
        self._study: Any = None
        self._best = BestSoFar()

    def begin(self, study: Study, trial: Trial) -> None:
        """Start its run from nothing; an online run of the same id resumes."""
        self._runs[trial.key] = self._keeper.start(
            f"{study.id}-{trial.phase}-{trial.number}",
            group=study.name,
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
                # Of a confirmed trial the value is another metric, which it has beside this one.
                **({} if trial.value is None else {study.metric: trial.value}),
                **trial.metrics,
                "state": trial.state,
                "trial_seconds": trial.seconds,
                **({"failure": trial.failure} if trial.failure else {}),
            }
        )
        # A pruned trial is finished.
        self._keeper.finish(run, exit_code=int(trial.state == "failed"))

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
        self._keeper.finish(run)
        self._study = None
        if self._keeper.online:
            return f"{run.url or run.project}"
        return (
            f"offline, nothing is uploaded; runs kept in {self._keeper.folder};"
            f" upload them: {self._place.sync}"
        )

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
            self._study = self._keeper.start(
                f"{study.id}-study",
                group=study.name,
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
