"""Reads a study's trials as plain records."""

import math
from collections.abc import Mapping

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from objectives.base import CHANGES
from studies.core.attributes import (
    ATTEMPT,
    FAILURE,
    FAILURES,
    METRICS,
    RESERVED,
    SECONDS,
    SEED,
)
from studies.core.pauses import paused
from studies.core.trials import Failure, TrialRecord, TrialState
from studies.storage.leases import supervisor
from studies.storage.open import whole_trials

# An objective's own attributes are many times larger than everything else of a trial.
_BRIEF = RESERVED | {CHANGES}


def read_trials(study: optuna.Study, *, brief: bool = False) -> list[TrialRecord]:
    """Return all trials of ``study``, a search or a confirmation, by number.

    With ``brief`` the objective's own ``attributes`` may be missing.
    """
    runs = supervisor(study) is not None
    return [_record(t, runs=runs) for t in whole_trials(study, _BRIEF if brief else None)]


def state_of(state: OptunaState) -> TrialState:
    """Return Optuna's ``state`` as this program has it."""
    return TrialState(state.name)


def to_json(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return ``metrics`` as JSON can hold them, None for values that are not finite."""
    values = {name: float(value) for name, value in metrics.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _record(trial: FrozenTrial, *, runs: bool) -> TrialRecord:
    attributes = trial.user_attrs
    state = state_of(trial.state)
    if state is TrialState.RUNNING and not runs:
        state = TrialState.WAITING
    pause = paused(trial)
    # A trial whose supervisor was killed while it failed has a reason, and is run again.
    failure = attributes.get(FAILURE) if state is TrialState.FAIL else None
    metrics = attributes.get(METRICS, {})
    return TrialRecord(
        number=trial.number,
        state=state,
        params={**trial.params, **{n: attributes[n] for n in (CHANGES,) if n in attributes}},
        seed=int(attributes.get(SEED, 0)),
        value=_value(trial, state),
        curve=dict(sorted(trial.intermediate_values.items())),
        metrics={name: math.nan if value is None else value for name, value in metrics.items()},
        seconds=attributes.get(SECONDS),
        attributes={name: attributes[name] for name in attributes if name not in RESERVED},
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        paused=0 if pause is None else pause.at,
        attempt=int(attributes.get(ATTEMPT, 0)),
        failure=None if failure is None else Failure(**failure),
        failures=tuple(Failure(**one) for one in attributes.get(FAILURES, ())),
        values=tuple(trial.values or ()) if state is TrialState.COMPLETE else (),
        excesses=trial.constraints,
    )


def _value(trial: FrozenTrial, state: TrialState) -> float | None:
    if trial.values:
        return float(trial.values[0])
    if state is TrialState.PRUNED and trial.last_step is not None:
        return float(trial.intermediate_values[trial.last_step])
    return None
