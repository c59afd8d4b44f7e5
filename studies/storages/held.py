"""What a storage holds in memory of trials that are over: thousands, most of them much alike.

Whole trials are read anew where they are needed, see ``whole_trials``.
"""

import sys
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

_OF_ITS_BEGIN = "fixed_params"
"""What Optuna keeps with a trial that was enqueued; once it is over its params say it."""

_NOTHING: dict[str, Any] = {}
"""Nobody adds to a trial that is over."""


def forget_begin(trial: FrozenTrial) -> None:
    """Leave out what ``trial`` was begun with, if it is over."""
    if trial.state.is_finished():
        kept = {n: value for n, value in trial.system_attrs.items() if n != _OF_ITS_BEGIN}
        trial.system_attrs = kept or _NOTHING


class SharedDistributions:
    """Distributions of trials that are over, each set of them once, and the choices' names."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}

    def share(self, trial: FrozenTrial) -> None:
        """Give ``trial``, if it is over, the distributions that others like it have."""
        if trial.state.is_finished():  # Optuna changes those of one that runs
            # Not by equality: choices of 0 and False are equal.
            key = tuple(f"{name} {kind!r}" for name, kind in trial.distributions.items())
            trial.distributions = self._known.setdefault(key, trial.distributions)
            trial.params = {
                name: sys.intern(value) if isinstance(value, str) else value
                for name, value in trial.params.items()
            }
