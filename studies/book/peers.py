"""The trials that a trial is compared with, found without going through all of a long study."""

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial


class Peers:
    """A book's trials by their value of the scientific parameter.

    A trial that is over is filed once; only those that are open are looked at each time. So a
    report costs as much as there are trials of its own choice, not of all.

    Args:
        scientific: the parameter whose choices are kept apart; None: all trials are peers.
        trials: the book's, by number from 0 without a gap; it may grow, and open ones may change.
    """

    def __init__(self, scientific: str | None, trials: Mapping[int, FrozenTrial]) -> None:
        self._scientific = scientific
        self._trials = trials
        self._seen = 0
        self._open: list[int] = []
        self._over: dict[Any, list[int]] = defaultdict(list)
        """Numbers: the book may put another object in the place of a trial that is over."""

    def of(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return ``trial``, one of the book's, and its peers by number."""
        self._open += range(self._seen, len(self._trials))
        self._seen = len(self._trials)
        still_open = []
        for number in self._open:
            other = self._trials[number]
            if other.state.is_finished():
                insort(self._over[self._choice(other)], number)
            else:
                still_open.append(number)
        self._open = still_open
        choice = self._choice(trial)
        peers = list(self._over[choice])
        for number in still_open:
            if self._choice(self._trials[number]) == choice:
                insort(peers, number)
        return [self._trials[number] for number in peers]

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self._scientific is None else trial.params.get(self._scientific)
