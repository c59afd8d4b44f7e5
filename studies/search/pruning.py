"""Pruning that is fair between the choices that a study compares, and sentinels.

An optimizer whose curve starts slowly must not be stopped because another one starts fast. So a
pruner sees only trials with the same value of the scientific parameter as the trial it judges, as
Optuna's Hyperband shows each bracket only its own trials.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from heapq import nsmallest
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import SENTINEL, WOULD_PRUNE
from studies.core.seeds import sentinel_draw
from studies.planning.settings import SearchSettings
from studies.search.pruners import create_pruner, rungs_of
from studies.search.study_views import StudyView


def sentinels(search: SearchSettings, candidates: range) -> Collection[int]:
    """Return the numbers of the trials that run unpruned, drawn by the study's seed.

    They show what the pruner stops. ``search.sentinels`` is their number, or below 1 their fraction
    of ``candidates``, the trials that are not defaults, which are never pruned. If the study is
    extended, a fraction draws the same trials again; a number may draw others, but sentinels that
    ran stay sentinels.
    """
    if search.pruner == "none" or not search.sentinels:
        return ()
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

    It works on trials in memory: a decision costs no database read, and the worker that waits for
    it is answered before anything is written. A sentinel is judged like any trial. If the pruner
    would stop it, that is noted and it continues; the other trials see it as pruned there.

    Args:
        options: of it, with its resources, see ``with_resources``.
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

    def should_prune(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
        """Return whether ``trial``, one of ``trials``, stops at its last intermediate value."""
        if self._name == "none" or WOULD_PRUNE in trial.system_attrs:
            return False
        name = self._scientific
        choice = None if name is None else trial.params.get(name)
        # Written out, as there may be thousands of them at every report.
        same = [
            _as_pruned(other) if WOULD_PRUNE in other.system_attrs else other
            for other in trials
            if name is None or other.params.get(name) == choice
        ]
        marks: dict[str, Any] = {}
        if self._rungs is None:
            view = StudyView(same, directions=[self._direction])
            stops = self._pruner.prune(view.as_study(), trial)
        else:
            stops, rungs = self._rungs.should_prune(trial, same, self._direction)
            marks |= rungs
        if stops and trial.user_attrs.get(SENTINEL):
            marks[WOULD_PRUNE] = trial.last_step
            stops = False
        for key, value in marks.items():
            trial.system_attrs = {**trial.system_attrs, key: value}
            self._write(trial.number, key, value)
        return stops


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a sentinel as the other trials see it: pruned, once it would have been."""
    step = trial.system_attrs[WOULD_PRUNE]
    seen = copy(trial)
    kept = {s: value for s, value in trial.intermediate_values.items() if s <= step}
    seen.intermediate_values = kept
    if trial.state is TrialState.COMPLETE:
        seen.state, seen.values = TrialState.PRUNED, [kept[step]]
    return seen
