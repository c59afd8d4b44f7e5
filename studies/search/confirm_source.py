"""Where the trials of a confirmation come from: a fixed list."""

from collections.abc import Iterable, Sequence
from typing import Any

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from objectives.base import CHANGES
from search_spaces.space import Space
from studies.core.attributes import ENTRY
from studies.core.seeds import sampler_seed
from studies.search.failures import would_fail_again
from studies.search.optuna_bridge import suggest
from studies.search.sources import Entry


class ConfirmSource:
    """Trials of a confirmation: the entries that the study does not hold yet."""

    def __init__(
        self, space: Space, entries: Sequence[Entry], trials: Iterable[FrozenTrial]
    ) -> None:
        self._space = space
        trials = list(trials)
        # An entry that failed for an outside reason (a full disk, memory, its worker) is missing.
        held = {trial.user_attrs.get(ENTRY) for trial in trials if not _can_be_mended(trial)}
        self._held = len(trials)
        self._missing = [entry for entry in entries if entry.identity not in held]

    @property
    def total(self) -> int:
        """Number of stored trials and missing entries."""
        return self._held + len(self._missing)

    def request(self, number: int) -> Entry | None:
        """Return the next missing entry."""
        index = number - self._held
        if index >= len(self._missing):
            return None
        entry = self._missing[index]
        attributes = {**entry.attributes, ENTRY: entry.identity}
        params = dict(entry.params)
        if CHANGES in params:  # not a hyperparameter for Optuna
            attributes[CHANGES] = params.pop(CHANGES)
        return Entry(params=params, seed=entry.seed, attributes=attributes)

    def adapted(self, entry: Entry, trials: Iterable[FrozenTrial]) -> Entry:
        """Return ``entry``."""
        return entry

    def sampler(self, number: int) -> BaseSampler:
        """Return any sampler: an entry is complete."""
        return RandomSampler(seed=sampler_seed(0, number))

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Return the entry's params."""
        kept = trial.user_attrs
        changes = {CHANGES: kept[CHANGES]} if CHANGES in kept else {}
        return {**suggest(self._space, trial), **changes}

    def may_prune(self, number: int) -> bool:
        """Never: what is confirmed runs its full budget."""
        return False


def _can_be_mended(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.FAIL and not would_fail_again(trial)
