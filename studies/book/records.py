"""What a study's trials came to, as plain records: the one way to read a study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.base import CHANGES
from studies.engines.base import Failure
from studies.search.goals import INFEASIBLE
from studies.storages.leases import supervisor
from studies.storages.storage import whole_trials

SEED = "seed"
ATTEMPT = "attempt"
METRICS = "metrics"
SECONDS = "seconds"
FAILURE = "failure"
FAILURES = "failures"
ORDER = "order"
OWNER = "supervisor"
RESERVED = frozenset({SEED, ATTEMPT, METRICS, SECONDS, FAILURE, FAILURES, ORDER, OWNER})
"""User attributes of a trial that the book writes itself."""

_BRIEF = RESERVED | {CHANGES}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0.
        state: COMPLETE (ran its full budget), PRUNED, FAIL, RUNNING or WAITING (to be run, also
            when its supervisor died under it).
        params: hyperparameters; those that were active. Of a confirmed member of a population also
            ``changes``.
        seed: the trial's seed.
        value: the study's metric at the end (PRUNED: at the last report), or None.
        curve: the study's metric by step.
        metrics: all metrics of the end (PRUNED, FAIL: of the last report); nan where not finite.
        seconds: from the start of the last attempt to its end, or None.
        attributes: whatever else the objective left: device, confusion matrix …
        started: when the last attempt was begun, or None.
        ended: when it ended, or None.
        attempt: how often the trial was lost with its worker or supervisor and begun again.
        failure: why there is no result, of a FAIL trial.
        failures: why it failed before it was run again, see ``studies/book/retrying.py``.
        values: of a COMPLETE trial, of each objective; the first one is ``value``.
        excesses: how far it is above each limit of the study, as a share; above 0: infeasible.
    """

    number: int
    state: str
    params: dict[str, Any]
    seed: int
    value: float | None
    curve: dict[int, float]
    metrics: dict[str, float]
    seconds: float | None
    attributes: dict[str, Any] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None
    attempt: int = 0
    failure: Failure | None = None
    failures: tuple[Failure, ...] = ()
    values: tuple[float, ...] = ()
    excesses: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether it keeps the limits of the study, as far as they are known."""
        return all(excess <= 0 for excess in self.excesses.values())

    @property
    def ending(self) -> str:
        """The state, but INFEASIBLE for one that was not trained, as it is over a limit."""
        untrained = self.failure is not None and self.failure.kind == INFEASIBLE
        return "INFEASIBLE" if untrained else self.state


def read_trials(study: optuna.Study, *, brief: bool = False) -> list[TrialRecord]:
    """Return all trials of ``study`` by number.

    Args:
        study: a search or a confirmation.
        brief: whether what the objective left with a trial, ``attributes``, may be missing: it is
            many times all else.
    """
    runs = supervisor(study) is not None
    return [_record(t, runs=runs) for t in whole_trials(study, _BRIEF if brief else None)]


def to_json(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return ``metrics`` as JSON can hold them, None for what is not finite."""
    values = {name: float(value) for name, value in metrics.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _record(trial: FrozenTrial, *, runs: bool) -> TrialRecord:
    attributes = trial.user_attrs
    state = trial.state
    if state is TrialState.RUNNING and not runs:
        state = TrialState.WAITING
    # One that was about to fail when its supervisor was killed is run again, and has its reason.
    failure = attributes.get(FAILURE) if state is TrialState.FAIL else None
    metrics = attributes.get(METRICS, {})
    return TrialRecord(
        number=trial.number,
        state=state.name,
        params={**trial.params, **{n: attributes[n] for n in (CHANGES,) if n in attributes}},
        seed=int(attributes.get(SEED, 0)),
        value=_value(trial),
        curve=dict(sorted(trial.intermediate_values.items())),
        metrics={name: math.nan if value is None else value for name, value in metrics.items()},
        seconds=attributes.get(SECONDS),
        attributes={name: attributes[name] for name in attributes if name not in RESERVED},
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        attempt=int(attributes.get(ATTEMPT, 0)),
        failure=None if failure is None else Failure(**failure),
        failures=tuple(Failure(**one) for one in attributes.get(FAILURES, ())),
        values=tuple(trial.values or ()) if state is TrialState.COMPLETE else (),
        excesses=trial.constraints,
    )


def _value(trial: FrozenTrial) -> float | None:
    if trial.values:
        return float(trial.values[0])
    if trial.state is TrialState.PRUNED and trial.last_step is not None:
        return float(trial.intermediate_values[trial.last_step])
    return None
