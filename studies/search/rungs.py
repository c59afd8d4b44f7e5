"""Successive halving and hyperband, decided by the trials' curves alone.

The rules and options are those of Optuna's classes. These keep a rung's value with a trial when
they are asked about it, and with "auto" they learn where the rungs are from the first trial that is
complete. A trial that has passed a rung by then enters it with a later value: with one optimizer
four times as slow as another, all later trials of it were stopped at step 1 (optuna#3088). Here the
resources are given, and a rung's value is read from the curve: it is that of the trial's first
report at the rung's step or after it. So it does not matter who reports when, or after what kill.
"""

import binascii
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

WITH_RUNGS: Mapping[str, type[HyperbandPruner] | type[SuccessiveHalvingPruner]] = {
    "successive_halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
}
"""Pruners that compare trials at rungs, by name."""

_MARK = "completed_rung_"
"""Optuna's name for the value of a rung among the system attributes of a trial."""


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """Where the rungs are, and who goes on from them.

    Make it with ``create_rungs``.

    Attributes:
        first: step of the first rung of bracket 0.
        factor: one of so many goes on at a rung; each rung is that many times as far as the last.
        bootstrap: so many trials at a rung are all stopped there.
        shares: the brackets' parts of the trials; successive halving has one bracket.
    """

    first: int
    factor: int
    bootstrap: int
    shares: tuple[int, ...]

    def bracket(self, number: int) -> int:
        """Return the bracket of trial ``number``, drawn as Optuna draws it."""
        place = binascii.crc32(f"view_{number}".encode()) % sum(self.shares)
        for bracket, share in enumerate(self.shares):
            place -= share
            if place < 0:
                return bracket
        raise AssertionError("a place is below the sum of all shares")

    def should_prune(
        self, trial: FrozenTrial, others: Iterable[FrozenTrial], direction: StudyDirection
    ) -> tuple[bool, dict[str, float]]:
        """Return whether ``trial`` is stopped at its last report, and the rungs that it reached.

        Args:
            trial: a running trial with a report.
            others: the trials that it is compared with; itself may be among them.
            direction: of the study.
        """
        bracket = self.bracket(trial.number)
        rivals = [
            other
            for other in others
            if other.number != trial.number and self.bracket(other.number) == bracket
        ]
        *before, last = sorted(trial.intermediate_values)
        value, marks = trial.intermediate_values[last], {}
        for rung in range(self._reached(last, bracket)):
            step = self._step(bracket, rung)
            if before and before[-1] >= step:
                continue  # it was judged there
            marks[f"{_MARK}{rung}"] = value
            values = [own for other in rivals if (own := _value(other, step)) is not None]
            if len(values) < self.bootstrap or not self._is_ahead(value, values, direction):
                return True, marks
        return False, marks

    def misplaced(self, trial: FrozenTrial) -> bool:
        """Whether ``trial`` was stored with a value of a rung that is not that of its own step."""
        stored = [key for key in trial.system_attrs if key.startswith(_MARK)]
        marks = {int(key.removeprefix(_MARK)): trial.system_attrs[key] for key in stored}
        # With "auto" there may have been a bracket more, or less: any that fits will do.
        return not any(
            all(_value(trial, self._step(b, rung)) == mark for rung, mark in marks.items())
            for b in range(len(self.shares) + (len(self.shares) > 1))
        )

    def _step(self, bracket: int, rung: int) -> int:
        return int(self.first * self.factor ** (bracket + rung))

    def _reached(self, step: int, bracket: int) -> int:
        """Return how many rungs of ``bracket`` lie at ``step`` or before it."""
        rungs = 0
        while self._step(bracket, rungs) <= step:
            rungs += 1
        return rungs

    def _is_ahead(self, value: float, others: list[float], direction: StudyDirection) -> bool:
        """Whether ``value`` is among the best of a rung; of few trials the best one is."""
        ordered = sorted([value, *others], reverse=direction is StudyDirection.MAXIMIZE)
        worst = ordered[max(0, len(ordered) // self.factor - 1)]
        return value >= worst if direction is StudyDirection.MAXIMIZE else value <= worst


def with_resources(name: str, options: Mapping[str, Any], reports: int) -> dict[str, Any]:
    """Return ``options`` with the resources of pruner ``name`` in the place of "auto".

    Args:
        name: of a pruner, see ``studies/search/pruning.py``.
        options: of it.
        reports: that a trial makes at most, >= 1.
    """
    found = dict(options)
    if name == "successive_halving" and found.get("min_resource", "auto") == "auto":
        found["min_resource"] = max(1, reports // 100)  # as Optuna has it
    if name == "hyperband" and found.get("max_resource", "auto") == "auto":
        found["max_resource"] = reports
    return found


def create_rungs(name: str, options: Mapping[str, Any]) -> Rungs:
    """Return the rungs of pruner ``name``, one of ``WITH_RUNGS``.

    Args:
        name: of the pruner.
        options: of Optuna's class, which has accepted them, with resources.

    Raises:
        ValueError: a resource is "auto", see ``with_resources``.
    """
    defaults = inspect.signature(WITH_RUNGS[name]).parameters
    values = {key: parameter.default for key, parameter in defaults.items()} | dict(options)
    if "auto" in (values["min_resource"], values.get("max_resource")):
        raise ValueError(f"{name}: its resources are not known")
    first, factor = int(values["min_resource"]), int(values["reduction_factor"])
    if name == "hyperband":
        count = max(1, brackets_of(int(values["max_resource"]), first, factor))
        # https://jmlr.org/papers/volume18/16-558/16-558.pdf, Algorithm 1: n
        shares = tuple(math.ceil(count * factor**s / (s + 1)) for s in reversed(range(count)))
    else:
        first, shares = first * factor ** int(values["min_early_stopping_rate"]), (1,)
    return Rungs(
        first=first, factor=factor, bootstrap=int(values["bootstrap_count"]), shares=shares
    )


def brackets_of(most: int, least: int, factor: int) -> int:
    """Return how many brackets hyperband has: one for each rung from ``least`` to ``most``."""
    count = 0
    while least * factor**count <= most:
        count += 1
    return count


def _value(trial: FrozenTrial, step: int) -> float | None:
    """Return the value of the trial's first report at ``step`` or after it, if there is one."""
    at = min((s for s in trial.intermediate_values if s >= step), default=None)
    return None if at is None else trial.intermediate_values[at]
