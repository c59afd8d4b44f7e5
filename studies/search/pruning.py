"""Pruning that is fair between the choices that a study compares, and sentinels."""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from heapq import nsmallest
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import SENTINEL, WOULD_PRUNE
from studies.core.goals import Goals
from studies.core.seeds import sentinel_draw
from studies.planning.settings import SearchSettings
from studies.search.batch_order import Batches
from studies.search.failures import metrics_of
from studies.search.pruners import create_pruner, rungs_of
from studies.search.study_views import StudyView


def sentinels(search: SearchSettings, candidates: range) -> Collection[int]:
    """Return the numbers of the trials that run unpruned, drawn by the study's seed.

    They show what the pruner stops. ``search.sentinels`` is their number, or below 1 their fraction
    of ``candidates``, the trials that are not defaults.
    """
    if search.pruner == "none" or not search.sentinels:
        return ()
    # If the study is extended, a fraction draws the same trials again. A number may draw others,
    # but sentinels that ran stay sentinels.
    if search.sentinels < 1:
        return {n for n in candidates if sentinel_draw(search.seed, n) < search.sentinels}
    return set(
        nsmallest(int(search.sentinels), candidates, key=lambda n: sentinel_draw(search.seed, n))
    )


Pruning = tuple[str, Mapping[str, Any], str | None]
"""Name of the pruner, its options, the parameter whose choices are kept apart."""

WriteAttribute = Callable[[int, str, Any], None]
"""``write(number, key, value)``: stores a pruner's own mark (a rung) with trial ``number``."""


class FairPruning:
    """Decides whether a trial is stopped, from the trials of the same choice alone.

    Args:
        options: of the pruner, with its resources, see ``with_resources``.
        scientific: the parameter whose choices are kept apart; None: all trials are compared.
        write: stores the marks of rungs, and the step at which a sentinel would have been pruned.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        *,
        scientific: str | None,
        direction: StudyDirection,
        write: WriteAttribute,
    ) -> None:
        self._name = name
        self._pruner = create_pruner(name, options)
        self._rungs = rungs_of(name, options)
        self._scientific = scientific
        self._direction = direction
        self._write = write
        # Made once: Optuna's study takes longer to make than a median to find.
        self._view = StudyView([], directions=[direction])
        self._study = self._view.as_study()

    def should_prune(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
        """Return whether ``trial``, one of ``trials``, stops at its last intermediate value."""
        if self._name == "none" or WOULD_PRUNE in trial.system_attrs:
            return False
        name = self._scientific
        # An optimizer whose curve starts slowly must not be stopped because another one starts
        # fast. Optuna's Hyperband shows each bracket only its own trials in the same way.
        choice = None if name is None else trial.params.get(name)
        # Written out, as there may be thousands of them at every report.
        same = [
            _as_pruned(other) if WOULD_PRUNE in other.system_attrs else other
            for other in trials
            if name is None or other.params.get(name) == choice
        ]
        marks: dict[str, Any] = {}
        if self._rungs is None:
            self._view.trials = same
            stops = self._pruner.prune(self._study, trial)
        else:
            stops, rungs = self._rungs.should_prune(trial, same, self._direction)
            marks |= rungs
        # A sentinel is judged like any trial, and continues; the others see it as pruned there.
        if stops and trial.user_attrs.get(SENTINEL):
            marks[WOULD_PRUNE] = trial.last_step
            stops = False
        for key, value in marks.items():
            trial.system_attrs = {**trial.system_attrs, key: value}
            self._write(trial.number, key, value)
        return stops


class PruningPeers:
    """Asks the pruner about a trial, which is compared with its peers.

    Peers have the same value of the scientific parameter. If there are several objectives, the
    curves are of the first one. Then only trials that are as good beforehand in the other
    objectives (no more parameters) show that a trial is beaten; Optuna itself prunes nothing there.

    Args:
        trials: by number from 0 without a gap; it may grow, and open ones may change.
        goals: what they are judged by.
        pruning: the pruner, and the parameter whose choices are kept apart.
        write: see ``FairPruning``.
        batches: only trials of earlier batches are peers; None: all are.
    """

    def __init__(
        self,
        trials: Mapping[int, FrozenTrial],
        goals: Goals,
        pruning: Pruning,
        *,
        write: WriteAttribute,
        batches: Batches | None = None,
    ) -> None:
        name, options, self._scientific = pruning
        self._trials = trials
        self._batches = batches
        self._beforehand = goals.as_good_beforehand if goals.several else None
        # A finished trial is filed once, and only the others are looked at each time. So a report
        # costs as much as there are trials of its own choice.
        self._seen = 0
        self._open: list[int] = []
        self._finished: dict[Any, list[int]] = defaultdict(list)
        """Numbers: the object of a finished trial may be replaced."""
        direction = StudyDirection[goals.direction.upper()]
        self._pruning = FairPruning(
            name, options, scientific=self._scientific, direction=direction, write=write
        )

    def beat(self, trial: FrozenTrial, latest: Mapping[int, Mapping[str, float]]) -> bool:
        """Whether ``trial``, whose last report is its last intermediate value, is to be stopped.

        Args:
            trial: one of the trials that runs.
            latest: the last metrics of running trials, by number.
        """
        peers = self.of(trial)
        if self._beforehand is not None:
            own = latest.get(trial.number, {})
            peers = [
                peer
                for peer in peers
                if self._beforehand(latest.get(peer.number) or metrics_of(peer), own)
            ]
        if self._batches is not None:
            peers = self._batches.earlier(trial, peers)
        return self._pruning.should_prune(trial, peers)

    def of(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return ``trial`` and its peers by number."""
        self._open += range(self._seen, len(self._trials))
        self._seen = len(self._trials)
        still_open = []
        for number in self._open:
            other = self._trials[number]
            if other.state.is_finished():
                insort(self._finished[self._choice(other)], number)
            else:
                still_open.append(number)
        self._open = still_open
        choice = self._choice(trial)
        peers = list(self._finished[choice])
        for number in still_open:
            if self._choice(self._trials[number]) == choice:
                insort(peers, number)
        return [self._trials[number] for number in peers]

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self._scientific is None else trial.params.get(self._scientific)


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a sentinel as the other trials see it: pruned, once it would have been."""
    step = trial.system_attrs[WOULD_PRUNE]
    seen = copy(trial)
    kept = {s: value for s, value in trial.intermediate_values.items() if s <= step}
    seen.intermediate_values = kept
    if trial.state is TrialState.COMPLETE:
        seen.state, seen.values = TrialState.PRUNED, [kept[step]]
    return seen
