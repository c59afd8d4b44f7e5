"""How a book's trials begin: new ones as the source and the sampler have them, others again."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.book import records
from studies.book.ending import Ending
from studies.book.order import Order
from studies.book.pages import Pages
from studies.search.batches import Batches
from studies.search.sources import Source

Begun = tuple[FrozenTrial, dict[str, Any]]
"""A trial that has begun, and the params that its task has."""


class Beginning:
    """Begins a book's trials.

    Args:
        study: the study.
        source: gives new trials.
        pages: the trials.
        order: records that they begin.
        ending: says when nothing new is begun.
        batches: which trials may begin; None: all.
    """

    def __init__(
        self,
        study: optuna.Study,
        source: Source,
        pages: Pages,
        order: Order,
        ending: Ending,
        batches: Batches | None,
    ) -> None:
        self._study = study
        self._source = source
        self._pages = pages
        self._order = order
        self._ending = ending
        self._batches = batches

    def next(self) -> Begun | None:
        """Begin the next trial: one that waits to be run again, else a new one, if there is one."""
        waits = min(self._pages.numbers(TrialState.WAITING), default=None)
        return self._new(len(self._pages.trials)) if waits is None else self._again(waits)

    def _new(self, number: int) -> Begun | None:
        if self._batches is not None and not self._batches.may_begin(number):
            return None
        request = self._source.request(number)
        if request is None or self._ending.now() or self._ending.missing() == 0:
            return None
        self._choose_sampler(number)
        attributes = {**request.attributes, records.SEED: request.seed, records.ATTEMPT: 0}
        trial, params = self._pages.begin(
            number,
            required=request.params,
            attributes=attributes | self._order.new(),
            suggest=self._source.suggest,
        )
        self._order.begun(trial, None)
        return trial, params

    def _again(self, number: int) -> Begun:
        self._choose_sampler(number)
        trial = self._pages.ask(number)
        params = self._source.suggest(trial)
        before = self._pages.trials[number].params
        frozen = self._pages.add(trial)
        self._order.begun(frozen, before)
        return frozen, params

    def _choose_sampler(self, number: int) -> None:
        self._study.sampler = self._source.sampler(number)
        if self._batches is not None:
            self._study.sampler = self._batches.sampler(self._study.sampler, number)
