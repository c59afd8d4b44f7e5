"""Plain data about one trial: its record, its failure, its limits."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from mnist_core.console.plain_text import counted, one_line, safe_lines


class TrialState(StrEnum):
    """What has become of a trial; the values are Optuna's names and stand in reports."""

    COMPLETE = "COMPLETE"  # it ran its full budget
    PRUNED = "PRUNED"  # the pruner or the scheduler stopped it
    FAIL = "FAIL"  # it has no result; ``TrialRecord.failure`` says why
    RUNNING = "RUNNING"
    WAITING = "WAITING"  # it is to run, also when its supervisor died under it
    PAUSED = "PAUSED"
    """It waits at a report with its state; Optuna stores it as RUNNING, see ``ending``."""
    INFEASIBLE = "INFEASIBLE"
    """It was not trained because it is over a limit; Optuna stores it as FAIL."""

    @property
    def finished(self) -> bool:
        """Whether the trial runs no more."""
        return self not in (TrialState.RUNNING, TrialState.WAITING, TrialState.PAUSED)

    @property
    def word(self) -> str:
        """The word that events, trackers and reports use."""
        return "failed" if self is TrialState.FAIL else self.value.lower()

    @property
    def end_event(self) -> Literal["complete", "pruned", "failed"]:
        """The kind of the event that tells the end of a trial that ended so."""
        if self is TrialState.COMPLETE:
            return "complete"
        return "pruned" if self is TrialState.PRUNED else "failed"


_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def same_reason(reason: str) -> str:
    """Return ``reason`` with all numbers replaced by ``#``."""
    return _NUMBER.sub("#", reason)


def tally(reasons: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Return ``reasons`` with their counts, most frequent first.

    Reasons that differ in numbers only are counted together, under the first of them.
    """
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for reason in reasons:
        kind = same_reason(reason)
        first.setdefault(kind, reason)
        counts[kind] = counts.get(kind, 0) + 1
    found = ((first[kind], count) for kind, count in counts.items())
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


BEFORE_TRAINING = "WorkerUnfit"
"""Kind of failure: the worker could not start, which does not count as a retry."""
GPU_FAILURE = "GpuFailure"
"""Kind of failure: the GPU failed during the training, perhaps because of the trial."""
UNFIT = frozenset({BEFORE_TRAINING, GPU_FAILURE})
"""Kinds after which a worker process cannot be used any more; its trial is lost."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial has no result."""

    # a short stable name: ``NonFiniteLoss``, ``OutOfMemory``, ``TimeLimit``, ``MemoryLimit``,
    # ``WorkerLost``, ``Interrupted``, one of ``UNFIT`` or the exception's class name
    kind: str
    message: str  # one line
    traceback: str = ""  # the last lines of the traceback, or ""

    def __post_init__(self) -> None:
        """Make the text, which comes from any program, safe to print."""
        object.__setattr__(self, "kind", one_line(str(self.kind)))
        object.__setattr__(self, "message", one_line(str(self.message)))
        object.__setattr__(self, "traceback", safe_lines(str(self.traceback)))

    @property
    def text(self) -> str:
        """The kind and the message."""
        return reason_text(self.kind, self.message)


def reason_text(kind: object, message: object) -> str:
    """Return why a trial failed: ``kind: message``, or the kind alone if nothing more is known."""
    return str(kind) if message in ("", None, kind) else f"{kind}: {message}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one trial may take; beyond that it ends as FAIL."""

    seconds: float = 0.0  # wall time of one attempt in the worker; 0: no limit
    # bytes of main memory (resident set) of the worker and all processes that it started; shared
    # pages count for each. 0: no limit.
    memory: int = 0


NO_LIMITS = Limits()


INTERRUPTED = Failure(kind="Interrupted", message="the run was stopped")
SUPERVISOR_DIED = Failure(kind="SupervisorDied", message="its supervisor died")
INFEASIBLE = "Infeasible"  # kind of failure: the trial was not trained because it is over a limit


def class_names_of(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes that a trial has kept; empty: they are numbers."""
    names = attributes.get("class_names", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial."""

    number: int  # from 0
    state: TrialState  # every one but INFEASIBLE and PAUSED, see ``ending``
    # the active hyperparameters; also ``changes`` for a confirmed member of a population
    params: dict[str, Any]
    seed: int  # the trial's seed
    value: float | None  # the study's metric at the end, or at the last report if PRUNED, or None
    curve: dict[int, float]  # the study's metric by step
    metrics: dict[str, float]  # all metrics at the end, or at the last report; nan if not finite
    seconds: float | None  # from the start of the last attempt to its end, or None
    # the objective's own: device, confusion matrix …
    attributes: dict[str, Any] = field(default_factory=dict)
    started: datetime | None = None  # start of the last attempt, or None
    ended: datetime | None = None  # its end, or None
    paused: int = 0  # report at which it is paused now; 0: it is not
    attempt: int = 0  # number of times that the trial was lost and started again
    failure: Failure | None = None  # why a FAIL trial has no result
    failures: tuple[Failure, ...] = ()  # earlier failures, see ``studies/ledger/retrying.py``
    # of a COMPLETE trial for each objective; the first one is ``value``
    values: tuple[float, ...] = ()
    # by which fraction it exceeds each limit of the study; above 0: infeasible
    excesses: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the state by its name as well."""
        object.__setattr__(self, "state", TrialState(self.state))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes that it learned; empty: they are numbers."""
        return class_names_of(self.attributes)

    @property
    def feasible(self) -> bool:
        """Whether it keeps the limits of the study, as far as is known."""
        return all(excess <= 0 for excess in self.excesses.values())

    @property
    def complete(self) -> bool:
        """Whether it ran its full budget."""
        return self.state == TrialState.COMPLETE

    @property
    def ending(self) -> TrialState:
        """The state, but PAUSED for a paused trial, INFEASIBLE for one over a limit."""
        if self.paused:
            return TrialState.PAUSED
        untrained = self.failure is not None and self.failure.kind == INFEASIBLE
        return TrialState.INFEASIBLE if untrained else self.state


@dataclass(frozen=True, kw_only=True)
class Forked:
    """Where a fork comes from."""

    study: str  # the name of the study that was forked
    carried: int  # number of its trials that were taken over
    left: tuple[tuple[str, int], ...] = ()  # why other trials were not, with their numbers

    def __str__(self) -> str:
        total = self.carried + sum(count for _, count in self.left)
        why = "; ".join(f"{count} not: {reason}" for reason, count in self.left)
        return (
            f"forked from {self.study}: {self.carried} of its {counted(total, 'trial')} carried"
            " over" + (f"; {why}" if why else "")
        )

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_attribute(cls, value: Any) -> "Forked | None":
        """Return the content of an attribute; None for a study that is not a fork."""
        if not isinstance(value, Mapping):
            return None
        left = tuple((str(reason), int(count)) for reason, count in value["left"])
        return cls(study=str(value["study"]), carried=int(value["carried"]), left=left)
