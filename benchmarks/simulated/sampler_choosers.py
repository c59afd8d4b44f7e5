"""Searches by real samplers: this project's own, and TPE by itself in each choice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from simulated.choosers import TURNS, Turns, fewest
from simulated.instances import Places
from simulated.regret import Chooser, Pending, Tried
from studies.core.attributes import LEARNED
from studies.core.seeds import sampler_seed
from studies.search.branch_sampler import BranchSampler
from studies.search.branches import Search, deciding
from studies.search.earlier import EarlierStudy, left_out, second_trials
from studies.search.guides import guides
from studies.search.optuna_bridge import suggest
from studies.search.sampler_kinds import SAMPLERS
from studies.search.samplers import create_sampler


class Product(Chooser):
    """This project's own sampler, under the turns; the free trials are its own, too."""

    def __init__(
        self,
        places: Places,
        seed: int,
        name: str,
        *,
        make: Callable[[Search, int], Any] | None = None,
        free: str = "own",
        learned: Sequence[EarlierStudy] = (),
    ) -> None:
        self._places, self._seed, self._name, self._free = places, seed, name, free
        self._make = make
        self._search = Search(
            space=places.space, scientific=places.scientific, seed=seed, trials=60, workers=2,
            prunes=True, defaults=len(places.names),
            guides=guides(learned, places.space, deciding(places.space, places.scientific)),
        )  # fmt: skip
        seconds = second_trials(learned, places.space, places.scientific, places.names)
        self._seconds = [dict(one.params) for one in seconds]
        self._study = optuna.create_study(direction="maximize")
        self._open: list[optuna.Trial] = []
        self._told = 0

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        """Return the choice and the point of the next trial."""
        self._tell(tried)
        for choice, point in pending[len(self._open) :]:
            self._ask(self._places.params(choice, point))
        required: dict[str, Any] = {}
        names = self._places.names
        marked: dict[str, Any] = {}
        if self._seconds:
            required, marked = self._seconds.pop(0), {LEARNED: {"study": "", "trial": 0}}
            own, compared = self._study.get_trials(deepcopy=False), self._places.scientific
            if left_out(own, scientific=compared, defaults=len(names), sign=1):
                required, marked = {compared: required[compared]}, {}
        elif number < TURNS * len(names):
            required = {self._places.scientific: names[number % len(names)]}
        elif self._free == "even":
            required = {self._places.scientific: names[fewest(tried, pending, len(names))]}
        seed = sampler_seed(self._seed, number)
        self._study.sampler = (
            self._make(self._search, seed)
            if self._make
            else create_sampler(self._name, {}, self._search, seed=seed)
        )
        return self._places.place(self._ask(required, marked))

    def _ask(
        self, required: dict[str, Any], marked: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if required:
            self._study.enqueue_trial(required, user_attrs=dict(marked or {}))
        trial = self._study.ask()
        self._open.append(trial)
        return suggest(self._places.space, trial)

    def _tell(self, tried: Sequence[Tried]) -> None:
        for one in tried[self._told :]:
            if not self._open:
                self._ask(self._places.params(one.choice, one.point))
            trial = self._open.pop(0)
            for epoch, value in enumerate(one.curve, 1):
                trial.report(value, epoch)
            if one.full:
                self._study.tell(trial, one.value)
            else:
                self._study.tell(trial, state=TrialState.PRUNED)
        self._told = len(tried)


class Then(Chooser):
    """One way for the turns, another for the free trials; both see all trials."""

    def __init__(self, places: Places, turns: Turns, free: Product) -> None:
        self._turns, self._free = turns, free
        self._all = TURNS * len(places.names)

    def propose(
        self, number: int, tried: Sequence[Tried], pending: Pending
    ) -> tuple[int, np.ndarray]:
        """Return the choice and the point of the next trial."""
        if number < self._all:
            return self._turns.propose(number, tried, pending)
        return self._free.propose(number, tried, pending)


def tpe_branch(pooled: bool) -> Callable[[Search, int], Any]:
    """Return a maker of TPE by itself in each choice; ``pooled``: its schedule is not."""

    def make(search: Search, seed: int) -> Any:
        inner = TPESampler(
            seed=seed, multivariate=True, n_startup_trials=3, constant_liar=True, n_ei_candidates=24
        )
        # Neither model knows earlier studies: TPE in each choice is a method of its own here.
        kind = replace(SAMPLERS["tpe"], splits=lambda _: True, learns_imported=False)
        found = BranchSampler(search, kind, lambda _: inner, seed=seed)
        if pooled:
            found._rest = _Pooled(seed, search)
            keep = found._propose

            def propose(study: Any, trial: Any) -> dict[str, Any]:
                """Return the choice and the point of the next trial."""
                proposed = keep(study, trial)
                proposed.pop("schedule.name", None)
                return proposed

            found._propose = propose
        return found

    return make


class _Pooled(TPESampler):
    def __init__(self, seed: int, search: Search) -> None:
        super().__init__(seed=seed, n_startup_trials=18)
