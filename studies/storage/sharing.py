"""What finished trials have in common is in memory once."""

import sys
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from studies.storage.optuna_internals import FIXED_PARAMS

_NOTHING: dict[str, Any] = {}  # system attributes of finished trials, which do not change any more


def forget_begin(trial: FrozenTrial) -> None:
    """Drop the params that ``trial`` was required to have, if it is finished."""
    if trial.state.is_finished():
        kept = {n: value for n, value in trial.system_attrs.items() if n != FIXED_PARAMS}
        trial.system_attrs = kept or _NOTHING


class SharedDistributions:
    """The sets of distributions of finished trials, each of them once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}

    def share(self, trial: FrozenTrial) -> None:
        """Give ``trial``, if it is finished, the distributions that trials like it have."""
        if trial.state.is_finished():  # Optuna changes those of one that runs
            # Not by equality: choices of 0 and False are equal.
            key = tuple(f"{name} {kind!r}" for name, kind in trial.distributions.items())
            trial.distributions = self._known.setdefault(key, trial.distributions)
            trial.params = {
                name: sys.intern(value) if isinstance(value, str) else value
                for name, value in trial.params.items()
            }
