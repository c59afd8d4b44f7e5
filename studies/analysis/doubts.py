"""What puts a result in doubt: bounds, luck of seeds, a pruner that would have stopped it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, variance
from typing import Any

from optuna.trial import FrozenTrial

from objectives.base import CHANGES
from search_spaces.space import Choice, Space
from studies.analysis.replay import Pruner, made_trial
from studies.core.attributes import WOULD_PRUNE
from studies.search.pruners import PRUNERS

BOUND_SHARE = 0.02
"""A best value within this fraction of a parameter's range, on its own scale, is on the bound."""

ENOUGH_CONFIGURATIONS = 3
"""Configurations below which their spread is too uncertain to be compared."""


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """How much of the spread of the confirmed values is due to seeds.

    Attributes:
        seeds: standard deviation of one configuration over seeds.
        configurations: standard deviation over configurations, without the seeds' part.
    """

    seeds: float
    configurations: float

    @property
    def dominates(self) -> bool:
        """Whether the seed decides more than the parameters do."""
        return self.seeds > self.configurations


@dataclass(frozen=True, kw_only=True)
class PrunerWouldStopWinner:
    """A pruner that would have stopped ``stopped`` of the winner's ``of`` confirm trainings.

    Attributes:
        sentinel_step: the step at which it would have stopped the winner's search trial, which was
            a sentinel; None: it was not a sentinel, or would not have been stopped.
    """

    pruner: str
    stopped: int
    of: int
    sentinel_step: int | None = None


def on_bound(
    space: Space, params: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Name the numeric parameters that lie on a bound of ``space``, e.g. ``adam.lr = 0.1 (high)``.

    ``params`` are the best ones of all that were ``tried``.
    """
    found = []
    for name, value in params.items():
        if name == CHANGES:
            continue
        parameter = space.parameters[name]
        if isinstance(parameter, Choice) or parameter.low == parameter.high:
            continue
        if all(other.get(name, value) == value for other in tried):
            continue  # no other value was tried, as with a lone default: the bound stopped nothing
        scale = math.log if parameter.log else float
        low, high, at = scale(parameter.low), scale(parameter.high), scale(value)
        share = (at - low) / (high - low)
        if share <= BOUND_SHARE:
            found.append(f"{name} = {value:.3g} (lower bound {parameter.low:g})")
        elif share >= 1 - BOUND_SHARE:
            found.append(f"{name} = {value:.3g} (upper bound {parameter.high:g})")
    return tuple(found)


def seed_spread(confirm: Iterable[Sequence[float]]) -> SeedSpread | None:
    """Compare the spread over seeds with that of the confirmed configurations.

    The variance of the means over n seeds is that of the configurations plus an n-th of the seeds'.
    None: there are too few configurations with two seeds.
    """
    several = [of_one for of_one in confirm if len(of_one) > 1]
    if len(several) < ENOUGH_CONFIGURATIONS:
        return None
    # The medians, so that one configuration that sometimes diverges does not decide.
    seeds = median(variance(of_one) for of_one in several)
    of_means = seeds / median(len(of_one) for of_one in several)
    between = max(0.0, variance(mean(of_one) for of_one in several) - of_means)
    return SeedSpread(seeds=math.sqrt(seeds), configurations=math.sqrt(between))


def pruner_would_stop_winner(
    pruner: Pruner,
    winner: Mapping[str, Any],
    *,
    search_trial: int | None,
    curves: Sequence[Mapping[int, float]],
    trials: Sequence[FrozenTrial],
) -> PrunerWouldStopWinner | None:
    """Show the winner's curves to the study's pruner, each as if it were its search trial.

    Its confirm trainings are full curves of the same configuration that no pruner has selected.
    The pruner sees the trials that had ended when the winner's own ended: later ones, which were
    tuned better, it could not have known. None: the pruner would have let all of them run.
    """
    if pruner.name == "none":
        return None
    name, choice = pruner.scientific, winner.get(pruner.scientific)
    # As in the search, a pruner sees trials of the same choice only.
    over = [t for t in trials if t.state.is_finished() and t.params.get(name) == choice]
    mine = next((t for t in over if t.number == search_trial), None)
    step = mine.system_attrs.get(WOULD_PRUNE) if mine else None
    # A paused trial may continue to the search's end, so it is compared with all of its choice.
    pauses = PRUNERS[pruner.name].pauses
    over = [
        o for o in over if mine is None or (o is not mine if pauses else _ended_before(o, mine))
    ]
    stopped = sum(
        _is_stopped(pruner, made_trial(len(trials), winner, {}), sorted(curve.items()), over)
        for curve in curves
    )
    if not stopped and step is None:
        return None
    return PrunerWouldStopWinner(
        pruner=pruner.name, stopped=stopped, of=len(curves), sentinel_step=step
    )


def _ended_before(other: FrozenTrial, mine: FrozenTrial) -> bool:
    if other.datetime_complete is None or mine.datetime_complete is None:
        return other.number < mine.number
    return other.datetime_complete < mine.datetime_complete


def _is_stopped(
    pruner: Pruner,
    trial: FrozenTrial,
    reports: Sequence[tuple[int, float]],
    others: Sequence[FrozenTrial],
) -> bool:
    pruning = pruner.start()
    for step, value in reports[:-1]:  # the last report stops no trial
        trial.intermediate_values[step] = value
        if pruning.should_prune(trial, [*others, trial]):
            return True
    return False
