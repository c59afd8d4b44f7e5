"""An objective of the user's own as a study runs it: a task in, an outcome out."""

import functools
import inspect
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_core import plugins
from objectives.base import Outcome, Report, StopTraining, Task, TrainingError, is_share
from objectives.measured import PARAMETERS, SECONDS
from objectives.own.command import Command
from objectives.own.description import Own, passed
from objectives.own.reference import Held, Reference, load, module_of
from objectives.own.reports import Reports
from objectives.own.running_command import run_command

TASK = "trial.json"
"""File in a kept folder: the params and the seed, for ``test``."""
_ROUNDING = 1e-6
"""How far beyond 0 and 1 a fraction may be computed."""


@dataclass(frozen=True, kw_only=True)
class OwnObjective:
    """Runs tasks.

    Attributes:
        metric: of the study; a returned number is its value.
        keep: folder in which confirmed trials keep theirs; None: nothing is kept.
        measured: whether the study judges by ``parameters`` or ``seconds``.
        most_parameters: a trial with more is not run; None: no limit.
        folder: in which a command runs.
    """

    own: Own
    metric: str
    keep: Path | None = None
    measured: bool = False
    most_parameters: float | None = None
    folder: str = "."

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Run ``task``; raises what the objective raises, and TrainingError for a wrong result."""
        prepared(self.own)
        before = _cost(self.own, task.params) if self.measured else {}
        parameters = before.get(PARAMETERS)
        most = self.most_parameters
        if most is not None and parameters is not None and parameters > most:
            return Outcome(metrics={PARAMETERS: parameters}, stopped=True)
        read = functools.partial(_metrics, metric=self.metric, did="reported")
        reports = Reports(report, read, last=self.own.reports, costs=before)
        began = time.monotonic()
        try:
            found = self._run(task, reports)
        except StopTraining:
            return Outcome(metrics=reports.latest, stopped=True, attributes=reports.cost())
        outcome = _outcome(found, self.metric)
        costs = {**before, SECONDS: time.monotonic() - began} if self.measured else {}
        metrics = {**outcome.metrics, **costs}
        attributes = {**reports.cost(), **outcome.attributes}
        # One that catches ``StopTraining`` has not run its full budget either.
        if reports.stopped:
            return Outcome(metrics=metrics, stopped=True, attributes=attributes)
        if self.keep is not None:
            _keep(self.own, task, self.keep)
        return Outcome(metrics=metrics, stopped=outcome.stopped, attributes=attributes)

    def _run(self, task: Task, report: Reports) -> Any:
        place = self.own.place
        assert place is not None
        if isinstance(place, Command):
            here = str(plugins.here(Path(self.folder)))
            return run_command(place, here, task, report, not_waited_for=report.not_waited_for)
        target = load(place)
        keywords = passed(inspect.signature(target), seed=task.seed, report=report)
        return target(dict(task.params), **keywords)


def _outcome(found: Any, metric: str) -> Outcome:
    if isinstance(found, Outcome):
        return found
    metrics = _metrics(found, metric, "returned")
    if metric not in metrics:
        raise TrainingError(
            "MissingMetric",
            f"the objective returned {', '.join(map(str, metrics)) or 'no metric'}, but not"
            f" {metric}, the metric of the study",
        )
    value = metrics[metric]
    # In per cent it would be written a hundredfold, and its intervals cut at 100 %.
    if is_share(metric) and math.isfinite(value) and not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise TrainingError(
            "BadOutcome",
            f"{metric} is {value:g}, but a metric of this name is a fraction from 0 to 1; divide"
            " it, or name it otherwise",
        )
    return Outcome(metrics=metrics)


def _metrics(found: Any, metric: str, did: str) -> dict[str, float]:
    """Return numbers by name; TrainingError ``BadOutcome``: it is something else."""
    wanted = f"{{{metric!r}: 0.9}} or a number"
    if found is None:
        raise TrainingError("BadOutcome", f"the objective {did} nothing, but must give {wanted}")
    given = found if isinstance(found, Mapping) else {metric: found}
    metrics: dict[str, float] = {}
    for name, value in given.items():
        number = None
        if not isinstance(value, str | bytes | bool):
            with suppress(TypeError, ValueError, OverflowError):
                number = float(value)
        if number is None:
            what = f"{name} = {value!r:.80}" if found is given else f"{value!r:.80}"
            raise TrainingError("BadOutcome", f"the objective {did} {what}, but must give {wanted}")
        metrics[str(name)] = number
    return metrics


def hook(own: Own, name: str) -> Callable[..., Any] | None:
    """Return the hook ``name`` of an objective, or None: it has none."""
    if own.place is None or isinstance(own.place, Command):
        return None
    found = getattr(load(own.place), name, None)
    return found if callable(found) else None


def prepared(own: Own) -> str:
    """Let the objective prepare, once in a process; return what names its data, or ""."""
    place = own.place
    if isinstance(place, Held):
        return _prepared(place, None)
    return _prepared(place, module_of(place)) if isinstance(place, Reference) else ""


@functools.lru_cache(maxsize=8)
def _prepared(place: Reference | Held, module: ModuleType | None) -> str:
    prepare = getattr(load(place), "prepare", None)
    found = prepare() if callable(prepare) else None
    return "" if found is None else str(found)


def _cost(own: Own, params: Mapping[str, Any]) -> dict[str, float]:
    cost = hook(own, "cost")
    found = {} if cost is None else cost(dict(params))
    return {PARAMETERS: float(found[PARAMETERS])} if PARAMETERS in found else {}


def _keep(own: Own, task: Task, folder: Path) -> None:
    """Let the objective keep a trial; the folder has its name once all is in it."""
    keep = hook(own, "keep")
    if keep is None and not own.tests:
        return
    place, draft = folder / str(task.number), folder / f".{task.number}.{os.getpid()}"
    draft.mkdir(parents=True)
    try:
        (draft / TASK).write_text(json.dumps({"params": dict(task.params), "seed": task.seed}))
        if keep is not None:
            keep(dict(task.params), task.seed, draft)
        if place.exists():  # of an attempt whose end was not written down
            shutil.rmtree(place)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
