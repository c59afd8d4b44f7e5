"""The progress of a running study, worked out from its events."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from studies.core.events import Event
from studies.statistics.intervals import sign_of


@dataclass
class Running:
    """A trial that runs now."""

    number: int
    params: Mapping[str, Any]
    began: float
    attempt: int = 0
    step: int = 0
    curve: list[float] = field(default_factory=list)


@dataclass
class Best:
    """The best trial of a search, or the best mean over the ``seeds`` of a confirmation.

    Attributes:
        number: of the trial, or of the configuration's first one.
        seeds: number of confirmed seeds; 0: it is one trial of the search.
    """

    value: float
    number: int
    params: Mapping[str, Any]
    seeds: int = 0

    @property
    def what(self) -> str:
        """Where the value comes from, in words."""
        if not self.seeds:
            return f"trial {self.number}"
        return f"mean of {self.seeds} seed{'s' if self.seeds > 1 else ''}"


@dataclass
class Progress:
    """What has happened so far, as events tell it."""

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"
    phase: str = ""
    judged: str = "model"  # what the test judges
    total: int = 0
    done: int = 0
    began: float = 0.0
    finished_here: int = 0
    counts: dict[str, int] = field(
        default_factory=lambda: {"complete": 0, "pruned": 0, "failed": 0, "lost": 0}
    )
    running: dict[int, Running] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)
    best: Best | None = None
    confirmed: dict[str, list[Best]] = field(default_factory=dict)
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=3))

    def add(self, event: Event) -> Running | None:
        """Take in one event; return the trial that it ends or pauses, if there is one."""
        data = event.data
        if event.kind == "phase":
            self.phase, self.total = str(data["name"]), int(data.get("total", 0))
            self.judged = str(data.get("judged", "model"))
            self.done, self.finished_here, self.began = int(data.get("done", 0)), 0, event.time
            # What earlier runs and other supervisors have finished counts, but not for the pace.
            self.counts = dict.fromkeys(self.counts, 0) | dict(data.get("counts", {}))
            self.running.clear()
            self.paused = set(data.get("paused", ()))
            self.best = _best(data.get("best"))
            self.confirmed.clear()
            for one in data.get("confirmed", ()):
                self._offer(one["value"], Running(one["trial"], one["params"], event.time))
            return None
        if event.kind == "elsewhere":
            self.done, self.total = int(data["done"]), int(data["total"])
            self.counts |= data["counts"]
            self.best = _best(data.get("best")) or self.best
            return None
        if event.kind == "message":
            self.messages.append(str(data.get("text", "")))
            return None
        if event.kind == "tested":
            self.done += 1
        if event.trial is None or event.kind == "tested":
            return None
        self.paused.discard(event.trial)
        if event.kind == "start":
            self.running[event.trial] = Running(
                number=event.trial,
                params=data.get("params", {}),
                began=event.time,
                attempt=int(data.get("attempt", 0)),
            )
            return None
        # A log that is watched from its middle has ends without starts.
        trial = self.running.get(event.trial) or Running(event.trial, {}, event.time)
        if event.kind == "report":
            trial.step = int(data.get("step", 0))
            value = data.get("metrics", {}).get(self.metric)
            if value is not None:
                trial.curve.append(float(value))
            return None
        self.running.pop(event.trial, None)
        if event.kind == "paused":
            self.paused.add(event.trial)
            return trial
        self.counts[event.kind] += 1
        if event.kind != "lost":
            self.done += 1
            self.finished_here += 1
            self.total = max(
                self.total, self.done
            )  # other trials replace those that are not complete
        if event.kind == "complete" and data.get("feasible", True):
            self._offer(float(data["value"]), trial)
        return trial

    def _offer(self, value: float, trial: Running) -> None:
        sign = sign_of(self.direction)
        one = Best(value, trial.number, trial.params)
        if self.phase == "confirm":
            # The best single seed is a lucky one, so configurations are compared by their means.
            key = json.dumps(dict(trial.params), sort_keys=True)
            self.confirmed.setdefault(key, []).append(one)
            means = [
                Best(fmean(each.value for each in of), of[0].number, of[0].params, len(of))
                for of in self.confirmed.values()
            ]
            self.best = max(means, key=lambda mean: sign * mean.value)
        elif self.best is None or sign * value > sign * self.best.value:
            self.best = one

    def seconds_left(self, now: float) -> float | None:
        """Estimate the phase's remaining seconds from the pace of this run; None if unknown."""
        if not self.finished_here or self.total <= 0:
            return None
        # Most paused trials have had all their training: they end together, in no time.
        left = max(0, self.total - self.done - len(self.paused))
        return left * (now - self.began) / (self.finished_here + len(self.paused))

    def per_minute(self, now: float) -> float | None:
        """Trials that ended per minute in this phase of this run; None if none has."""
        spent = now - self.began
        return 60 * self.finished_here / spent if self.finished_here and spent > 0 else None


def _best(told: Mapping[str, Any] | None) -> Best | None:
    return Best(told["value"], told["trial"], told["params"]) if told else None
