"""Where a book's new trials come from: the sampler (search) or a fixed list (confirm)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice
from studies.distributions import suggest
from studies.plan import Plan
from studies.records import FAILURE
from studies.samplers import create_sampler
from studies.seeds import sampler_seed, trial_seed

ENTRY = "entry"
"""User attribute of a confirm trial: which entry of the list it is."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One training of a confirmation.

    Attributes:
        params: the hyperparameters, all of them.
        seed: a fresh seed.
        attributes: JSON values kept with the trial, e.g. whose configuration it is.
    """

    params: Mapping[str, Any]
    seed: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Short hash of params and seed: a training is done once, however often it is asked for."""
        text = json.dumps([dict(self.params), self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Source(Protocol):
    """Where a book's new trials come from."""

    @property
    def total(self) -> int:
        """How many trials the study comes to, over all resumes."""
        ...

    def request(self, number: int) -> Entry | None:
        """Return what trial ``number`` must be (its params may be a part), or None: no more."""
        ...

    def sampler(self, number: int) -> BaseSampler:
        """Return the sampler that proposes the params that ``number``'s request left open."""
        ...

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let ``trial`` choose its params."""
        ...

    def may_prune(self, number: int) -> bool:
        """Whether the pruner is asked about trial ``number``."""
        ...


class SearchSource:
    """Trials of a search: required params first, the sampler for the rest."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        parameter = plan.spec.space.parameters[plan.spec.scientific]
        self._choices = len(parameter.choices) if isinstance(parameter, Choice) else 1
        self.sampler(0)  # names and options are checked before the first trial

    @property
    def total(self) -> int:
        """The plan's budget."""
        return self._plan.trials

    def request(self, number: int) -> Entry | None:
        """Return the params that the plan requires of trial ``number``, and its seed."""
        if number >= self._plan.trials:
            return None
        seed = trial_seed(self._plan.settings.search.seed, number)
        return Entry(params=self._plan.required_params(number), seed=seed)

    def sampler(self, number: int) -> BaseSampler:
        """Return a sampler with a seed of its own, so that a resume repeats and skips nothing."""
        search = self._plan.settings.search
        return create_sampler(
            search.sampler,
            search.sampler_options,
            seed=sampler_seed(search.seed, number),
            workers=self._plan.workers,
            choices=self._choices,
        )

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let ``trial`` choose a point of the plan's space."""
        return suggest(self._plan.spec.space, trial)

    def may_prune(self, number: int) -> bool:
        """Spare the default configuration of each choice: comparisons rest on it."""
        return number >= len(self._plan.spec.defaults)


_OF_THE_TRAINING = ("NonFiniteLoss", "MissingMetric", "BadOutcome")
"""Kinds of failure that come again when the same training is run again."""


class ConfirmSource:
    """Trials of a confirmation: those entries that the study does not hold yet.

    One that failed for a reason outside of it (a full disk, memory, its worker) is still missing.
    """

    def __init__(self, plan: Plan, entries: Sequence[Entry], trials: Iterable[FrozenTrial]) -> None:
        self._plan = plan
        trials = list(trials)
        held = {trial.user_attrs.get(ENTRY) for trial in trials if not _can_be_mended(trial)}
        self._held = len(trials)
        self._missing = [entry for entry in entries if entry.identity not in held]

    @property
    def total(self) -> int:
        """The trials there are and the entries still to come."""
        return self._held + len(self._missing)

    def request(self, number: int) -> Entry | None:
        """Return the next missing entry."""
        index = number - self._held
        if index >= len(self._missing):
            return None
        entry = self._missing[index]
        attributes = {**entry.attributes, ENTRY: entry.identity}
        return Entry(params=entry.params, seed=entry.seed, attributes=attributes)

    def sampler(self, number: int) -> BaseSampler:
        """Return any sampler: an entry leaves nothing open."""
        return RandomSampler(seed=sampler_seed(0, number))

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the entry's params."""
        return suggest(self._plan.spec.space, trial)

    def may_prune(self, number: int) -> bool:
        """Never: what is confirmed runs its full budget."""
        return False


def _can_be_mended(trial: FrozenTrial) -> bool:
    failure = trial.user_attrs.get(FAILURE, {})
    return trial.state is TrialState.FAIL and failure.get("kind") not in _OF_THE_TRAINING
