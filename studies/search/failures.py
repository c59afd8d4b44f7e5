"""What a finished trial says: its metrics, whether it is feasible, and why it failed."""

from collections.abc import Mapping

from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import ATTEMPT, FAILURE, METRICS
from studies.core.trials import (
    BEFORE_TRAINING,
    GPU_FAILURE,
    INFEASIBLE,
    INTERRUPTED,
    SUPERVISOR_DIED,
)

UNCOUNTED = (INTERRUPTED.kind, SUPERVISOR_DIED.kind, BEFORE_TRAINING)
"""Kinds of loss that do not count as a retry of the trial."""

_LOST = ("WorkerLost", GPU_FAILURE)
"""Kinds that say something about the configuration only if the trial was lost more than once.

One loss may come from outside. But the system also kills a process that takes too much memory, and
a training may break its GPU: these happen again with each attempt.
"""

_REPEATED = ("NonFiniteLoss", "MissingMetric", "BadOutcome", INFEASIBLE)
"""Kinds that happen again if the same training is run again."""


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether ``trial`` is over no limit."""
    return all(excess <= 0 for excess in trial.constraints.values())


def metrics_of(trial: FrozenTrial) -> dict[str, float]:
    """Return the metrics that are kept with a finished trial; {} for an unfinished one."""
    kept: Mapping[str, float | None] = trial.user_attrs.get(METRICS, {})
    return {name: value for name, value in kept.items() if value is not None}


def untrained(trial: FrozenTrial) -> bool:
    """Whether ``trial`` was not trained because it is infeasible."""
    return _kind(trial) == INFEASIBLE


def failed_by_itself(trial: FrozenTrial) -> bool:
    """Whether ``trial`` failed because of its configuration, and not for an outside reason."""
    kind = _kind(trial)
    if kind in _LOST:
        return int(trial.user_attrs.get(ATTEMPT, 0)) > 0
    return kind is not None and kind not in UNCOUNTED


def would_fail_again(trial: FrozenTrial) -> bool:
    """Whether ``trial`` failed in a way that the same training would repeat."""
    return _kind(trial) in _REPEATED


def _kind(trial: FrozenTrial) -> str | None:
    """Return the recorded kind of failure of a FAIL trial, or None."""
    if trial.state is not TrialState.FAIL:
        return None
    kind: str | None = (trial.user_attrs.get(FAILURE) or {}).get("kind")
    return kind
