"""The progress of a running study, worked out from its events."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from studies.core.events import Event
from studies.core.trials import reason_text, same_reason
from studies.report.standings import Best, Confirmation, Leaderboard, best_of
from studies.spec import StudySpec
from studies.statistics.intervals import sign_of

ENDED = 12
"""Trials that ended last, which a view can show."""
REASONS = 8
"""Different reasons of failures that are kept, the latest ones."""


@dataclass
class Running:
    """A trial that runs now."""

    number: int
    params: Mapping[str, Any]
    began: float
    attempt: int = 0
    step: int = 0
    curve: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """A trial that has ended, was paused or was lost.

    Attributes:
        kind: the kind of its event.
        value: its value, or the last report's; None if it has none.
        reason: why it has no value.
    """

    trial: Running
    kind: str
    seconds: float
    value: float | None = None
    step: int | None = None
    reason: str = ""


@dataclass
class Problem:
    """A reason for failures, of which only the numbers in it differ."""

    reason: str  # of the last one
    trial: int  # the last one
    count: int = 0


@dataclass
class Progress:
    """What has happened so far, as events tell it.

    Attributes:
        choice: the parameter whose choices are compared; "": none.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"
    choice: str = ""
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
    ended: deque[Ended] = field(default_factory=lambda: deque(maxlen=ENDED))
    problems: dict[str, Problem] = field(default_factory=dict)
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=6))

    def __post_init__(self) -> None:
        """Begin with empty boards."""
        sign = sign_of(self.direction)
        self.leaderboard = Leaderboard(self.choice, sign)
        self.confirmed = Confirmation(sign)

    def add(self, event: Event) -> Running | None:
        """Take in one event; return the trial that it ends or pauses, if there is one."""
        data = event.data
        if event.kind == "phase":
            self._begin_phase(event)
        elif event.kind == "elsewhere":
            self.done, self.total = int(data["done"]), int(data["total"])
            self.counts |= data["counts"]
            self.best = best_of(data.get("best")) or self.best
            self.leaderboard.take(data)
        elif event.kind == "message":
            self.messages.append(str(data.get("text", "")))
        elif event.kind == "tested":
            self.done += 1
        elif event.trial is not None:
            return self._add_trial(event, event.trial)
        return None

    def _begin_phase(self, event: Event) -> None:
        data = event.data
        self.phase, self.total = str(data["name"]), int(data.get("total", 0))
        self.judged = str(data.get("judged", "model"))
        self.done, self.finished_here, self.began = int(data.get("done", 0)), 0, event.time
        # What earlier runs and other supervisors have finished counts, but not for the pace.
        self.counts = dict.fromkeys(self.counts, 0) | dict(data.get("counts", {}))
        self.running.clear()
        self.ended.clear()
        self.problems.clear()
        self.paused = set(data.get("paused", ()))
        self.best = best_of(data.get("best"))
        self.leaderboard.clear()
        self.leaderboard.take(data)
        if self.phase != "test":  # while the test set is read, the confirmed ones stay on the board
            self.confirmed.clear()
        for one in data.get("confirmed", ()):
            self._offer(one["value"], Running(one["trial"], one["params"], event.time))

    def _add_trial(self, event: Event, number: int) -> Running | None:
        data = event.data
        self.paused.discard(number)
        if event.kind == "start":
            started = self.running[number] = Running(
                number=number,
                params=data.get("params", {}),
                began=event.time,
                attempt=int(data.get("attempt", 0)),
            )
            if self.phase == "confirm":
                self.confirmed.of(started.params, number)
            else:
                self.leaderboard.start(started.params)
            return None
        # A log that is watched from its middle has ends without starts.
        trial = self.running.get(number) or Running(number, {}, event.time)
        if event.kind == "report":
            trial.step = int(data.get("step", 0))
            value = data.get("metrics", {}).get(self.metric)
            if value is not None:
                trial.curve.append(float(value))
            return None
        self.running.pop(number, None)
        self._keep(event, trial)
        if event.kind == "paused":
            self.paused.add(number)
            return trial
        self.counts[event.kind] += 1
        if event.kind != "lost":
            self._end(event, trial)
        return trial

    def _end(self, event: Event, trial: Running) -> None:
        self.done += 1
        self.finished_here += 1
        # Other trials replace those that are not complete.
        self.total = max(self.total, self.done)
        if self.phase != "confirm":
            self.leaderboard.end(event, trial.params)
        elif event.kind == "failed":
            self.confirmed.of(trial.params, trial.number).failed += 1
        if event.kind == "complete" and event.data.get("feasible", True):
            self._offer(float(event.data["value"]), trial)

    def _keep(self, event: Event, trial: Running) -> None:
        """Keep how ``trial`` ended, to be shown."""
        data, reason = event.data, ""
        if event.kind in ("failed", "lost"):
            reason = reason_text(data.get("kind", ""), data.get("message", ""))
            key = same_reason(reason)
            before = self.problems.pop(key, None)
            count = before.count + 1 if before else 1
            self.problems[key] = Problem(reason, trial.number, count)
            if len(self.problems) > REASONS:
                del self.problems[next(iter(self.problems))]
        self.ended.append(
            Ended(
                trial,
                event.kind,
                seconds=float(data.get("seconds") or event.time - trial.began),
                value=data.get("value"),
                step=None if event.kind == "complete" else data.get("step", trial.step),
                reason=reason,
            )
        )

    def _offer(self, value: float, trial: Running) -> None:
        if self.phase == "confirm":
            self.confirmed.of(trial.params, trial.number).values.append(value)
            self.best = self.confirmed.best
            return
        sign = sign_of(self.direction)
        if self.best is None or sign * value > sign * self.best.value:
            self.best = Best(value, trial.number, trial.params)

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


def progress_of(spec: StudySpec) -> Progress:
    """Return the progress of a study of ``spec`` before its first event."""
    return Progress(metric=spec.metric, direction=spec.direction, choice=spec.scientific)
