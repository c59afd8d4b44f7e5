"""Successive halving and hyperband, decided by the trials' curves alone.

The rules and options are those of Optuna's classes, but a rung's value is that of the trial's
first report at the rung's step or after it. So the order of reports, and kills, do not matter.
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

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError

_MARK = "completed_rung_"
"""Optuna's name for the value of a rung among the system attributes of a trial."""


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """Where the rungs are, and which trials continue there.

    Attributes:
        first: step of the first rung of bracket 0.
        factor: reduction factor: one of ``factor`` trials continues at a rung, and the next rung is
            ``factor`` times as far.
        bootstrap: while a rung has fewer trials, all are stopped there.
        shares: relative numbers of trials of the brackets; successive halving has one bracket.
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
        """Return whether ``trial`` stops at its last report, and the marks of rungs it reached."""
        bracket = self.bracket(trial.number)
        peers = [
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
            values = [own for other in peers if (own := _value(other, step)) is not None]
            if len(values) < self.bootstrap or not self._is_ahead(value, values, direction):
                return True, marks
        return False, marks

    def _step(self, bracket: int, rung: int) -> int:
        return int(self.first * self.factor ** (bracket + rung))

    def _reached(self, step: int, bracket: int) -> int:
        """Return the number of rungs of ``bracket`` at ``step`` or before it."""
        rungs = 0
        while self._step(bracket, rungs) <= step:
            rungs += 1
        return rungs

    def _is_ahead(self, value: float, others: list[float], direction: StudyDirection) -> bool:
        """Whether ``value`` is among the best of a rung, at least the best of few."""
        ordered = sorted([value, *others], reverse=direction is StudyDirection.MAXIMIZE)
        worst = ordered[max(0, len(ordered) // self.factor - 1)]
        return value >= worst if direction is StudyDirection.MAXIMIZE else value <= worst


def halving_rungs(options: Mapping[str, Any]) -> Rungs:
    """Return the rungs of successive halving; ``options`` of Optuna's class, with resources."""
    values = _with_defaults(SuccessiveHalvingPruner, options)
    factor = int(values["reduction_factor"])
    return Rungs(
        first=int(values["min_resource"]) * factor ** int(values["min_early_stopping_rate"]),
        factor=factor,
        bootstrap=int(values["bootstrap_count"]),
        shares=(1,),
    )


def hyperband_rungs(options: Mapping[str, Any]) -> Rungs:
    """Return the rungs of hyperband; ``options`` of Optuna's class, with resources."""
    values = _with_defaults(HyperbandPruner, options)
    first, factor = int(values["min_resource"]), int(values["reduction_factor"])
    count = max(1, brackets_of(int(values["max_resource"]), first, factor))
    # https://jmlr.org/papers/volume18/16-558/16-558.pdf, Algorithm 1: n
    shares = tuple(math.ceil(count * factor**s / (s + 1)) for s in reversed(range(count)))
    return Rungs(
        first=first, factor=factor, bootstrap=int(values["bootstrap_count"]), shares=shares
    )


def _with_defaults(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters
    values = {name: parameter.default for name, parameter in parameters.items()} | dict(options)
    if "auto" in (values["min_resource"], values.get("max_resource")):
        raise ValueError(f"{cls.__name__}: its resources are not known")
    return values


def brackets_of(most: int, least: int, factor: int) -> int:
    """Return the number of hyperband's brackets, one a rung from ``least`` to ``most``."""
    count = 0
    while least * factor**count <= most:
        count += 1
    return count


def check_hyperband(where: str, options: Mapping[str, Any], reports: int) -> None:
    """Check that a trial makes enough reports for two brackets; ConfigError: if it does not."""
    least, most = options.get("min_resource", 1), options.get("max_resource", "auto")
    factor = options.get("reduction_factor", 3)
    made = f"a trial makes {counted(reports, 'report')} (epochs x reports_per_epoch)"
    if reports <= 1:
        return
    if most != "auto" and most > reports:
        raise ConfigError(
            f"{where}: max_resource is {most}, but {made}; set it to {reports}, or raise epochs"
        )
    if brackets_of(reports if most == "auto" else most, least, factor) < 2:
        raise ConfigError(
            f"{where}: {made}, too few for two brackets with min_resource {least} and"
            f" reduction_factor {factor}; raise epochs or reports_per_epoch to {least * factor} or"
            " more reports, or use successive_halving"
        )


# Optuna keeps a rung's value with a trial when it is asked, and with "auto" finds the rungs from
# the first complete trial. A trial that has passed a rung by then enters it with a later value:
# with one optimizer four times as slow as another, all later trials of it were stopped at step 1
# (optuna#3088).
def _value(trial: FrozenTrial, step: int) -> float | None:
    """Return the value of the trial's first report at ``step`` or after it, if there is one."""
    at = min((s for s in trial.intermediate_values if s >= step), default=None)
    return None if at is None else trial.intermediate_values[at]
