"""``search.pruner = "freeze_thaw"``: trials are paused at a rung, and the best are continued.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) with the asynchronous rule of
ASHA (Li et al. 2020, arXiv:1810.05934). A paused training keeps its exact state, so its curve is
that of one training. The name is that of Swersky et al. 2014 (arXiv:1406.3896), whose rule is
another one.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from studies.core.attributes import SENTINEL
from studies.core.pauses import Pause, paused

NAME = "freeze_thaw"
"""The name of the pruner."""


class FreezeThawPruner(BasePruner):
    """Says whether a trial would stay paused at its last report, next to the trials of the study.

    Args:
        min_resource: the first rung, the report at which a trial is paused; "auto": half of them.
        reduction_factor: one of this many trials of a choice continues at a rung. The next rung is
            this many times as far.
        n_startup_trials: first trials of a choice, its default among them, that are not paused.
    """

    def __init__(
        self,
        *,
        min_resource: "int | str" = "auto",
        reduction_factor: "int" = 2,
        n_startup_trials: "int" = 3,
    ) -> None:
        if min_resource == "auto":
            raise ValueError(f"{NAME}: its resources are not known")
        if not isinstance(min_resource, int) or min_resource < 1:
            raise ValueError(f"min_resource must be 1 or more, or auto, but got {min_resource!r}")
        if reduction_factor < 2:
            raise ValueError(f"reduction_factor must be 2 or more, but got {reduction_factor}")
        self.first, self.factor, self.startup = min_resource, reduction_factor, n_startup_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether it is not among those that continue."""
        last = trial.last_step
        if last is None or not self.is_rung(last):
            return False
        trials = study.get_trials(deepcopy=False)
        if len([one for one in trials if one.number < trial.number]) < self.startup:
            return False
        others = [one for one in trials if one.number != trial.number]
        return not self.continues(trial, [*others, trial], last, study.direction)

    def continues(
        self,
        trial: FrozenTrial,
        trials: Iterable[FrozenTrial],
        rung: int,
        direction: StudyDirection,
    ) -> bool:
        """Whether ``trial`` is among those of ``trials``, of its choice, that continue."""
        order = _ranked(trials, rung, direction)
        return trial.number in order[: self.kept(len(order))]

    def is_rung(self, step: int) -> bool:
        """Whether trials are paused at report ``step``."""
        return step in self.rungs(step + 1)

    def rungs(self, reports: int) -> tuple[int, ...]:
        """Return the rungs of a trial that makes ``reports``: none is its last report."""
        found, step = [], self.first
        while step < reports:
            found.append(step)
            step *= self.factor
        return tuple(found)

    def kept(self, count: int) -> int:
        """Return how many of ``count`` trials of a choice continue at a rung."""
        return count // self.factor


@dataclass(frozen=True, kw_only=True)
class Pausing:
    """Which trials of a search pause, and which continue.

    Attributes:
        pruner: the rungs.
        reports: of a trial.
        scientific: the parameter whose choices are kept apart; None: all trials are compared.
        direction: of the metric.
        may_prune: whether a trial, by its number, may be paused at all.
    """

    pruner: FreezeThawPruner
    reports: int
    scientific: str | None
    direction: StudyDirection
    may_prune: Callable[[int], bool]

    @property
    def rungs(self) -> tuple[int, ...]:
        """The reports at which a trial may be paused."""
        return self.pruner.rungs(self.reports)

    def ends_at(self, trial: FrozenTrial, trials: Mapping[int, FrozenTrial]) -> int:
        """Return the report to which ``trial`` is trained before it is paused or finished."""
        if (pause := Pause.of(trial.user_attrs)) is not None:
            return pause.until or pause.at
        if not self.may_prune(trial.number) or SENTINEL in trial.user_attrs:
            return self.reports
        choice = self._choice(trial)
        before = (trials[number] for number in range(trial.number))
        if sum(self._choice(one) == choice for one in before) < self.pruner.startup:
            return self.reports
        return self.after(0)

    def after(self, step: int) -> int:
        """Return the first rung after ``step``, or the last report."""
        return next((rung for rung in self.rungs if rung > step), self.reports)

    def continues(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
        """Whether ``trial``, which has just reached a rung, is among those that continue there."""
        last = trial.last_step
        assert last is not None
        own = [one for one in trials if self._choice(one) == self._choice(trial)]
        return self.pruner.continues(trial, own, last, self.direction)

    def next(self, trials: Sequence[FrozenTrial]) -> int | None:
        """Return the number of the paused trial to continue; None: none is good enough.

        Of the highest rung that has one it is the best, by its place among those of its choice.
        """
        waiting: dict[int, list[FrozenTrial]] = defaultdict(list)
        for trial in trials:
            if (pause := paused(trial)) is not None:
                waiting[pause.at].append(trial)
        if not waiting:
            return None
        by_choice: dict[Any, list[FrozenTrial]] = defaultdict(list)
        for trial in trials:
            by_choice[self._choice(trial)].append(trial)
        for rung in sorted(waiting, reverse=True):
            found = []
            for choice in {self._choice(trial) for trial in waiting[rung]}:
                order = _ranked(by_choice[choice], rung, self.direction)
                own = {one.number for one in waiting[rung]}.intersection(order)
                places = range(self.pruner.kept(len(order)))
                found += [(at / len(order), order[at]) for at in places if order[at] in own]
            if found:
                return min(found)[1]
        return None

    def _choice(self, trial: FrozenTrial) -> Any:
        return None if self.scientific is None else trial.params.get(self.scientific)


def _ranked(trials: Iterable[FrozenTrial], rung: int, direction: StudyDirection) -> list[int]:
    """Return the numbers of the trials that have reached ``rung``, the best first."""
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    values = [(one.intermediate_values.get(rung, math.nan), one.number) for one in trials]
    # By number where values are equal, so that a replay finds the same order.
    return [n for _, n in sorted((sign * v, n) for v, n in values if math.isfinite(v))]
