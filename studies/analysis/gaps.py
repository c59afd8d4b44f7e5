"""Differences of what two studies measured, B less A, with their intervals.

Confirmed configurations are judged as in a study's own verdict: the error of a seed is pooled over
all that is compared, that of the images is in it if both studies kept their answers to the same
ones, and the intervals hold together. Trainings of one configuration on the same seeds are paired.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mnist_core.comparison.spread import difference, rounding_error
from mnist_core.evaluation.right_answers import RightAnswers
from studies.analysis.verdict import right_answers
from studies.core.trials import TrialRecord
from studies.statistics.crossed import image_shares
from studies.statistics.estimates import Estimate, estimate, standard_error
from studies.statistics.intervals import (
    CONFIDENCE,
    Direction,
    Interval,
    paired_difference,
    value_interval,
)
from studies.statistics.multiple import intervals
from studies.statistics.pooled import collapses, pool
from studies.statistics.quantiles import modulus_quantile


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that both studies measured.

    Attributes:
        n: number of pairs (by seed, or by training); 0: not paired.
        same: number of pairs with the very same value.
        largest: greatest difference of a pair; NaN if it is not paired.
    """

    label: str
    a: Interval
    b: Interval
    gap: Interval
    n: int = 0
    same: int = 0
    largest: float = math.nan
    same_params: bool = True

    @property
    def paired(self) -> bool:
        """Whether values were paired by seed, or by training."""
        return self.n > 0


class GapJudge:
    """Compares confirmed configurations of two studies, several at once."""

    def __init__(
        self,
        first: Mapping[str, Sequence[TrialRecord]],
        second: Mapping[str, Sequence[TrialRecord]],
        compared: Collection[tuple[str, str]],
        step: float,
        direction: Direction,
        alike: bool,
    ) -> None:
        self._first, self._second, self._step, self._alike = first, second, step, alike
        self._count = max(1, len(compared))
        records = {("A", pair[0]): first[pair[0]] for pair in compared}
        records |= {("B", pair[1]): second[pair[1]] for pair in compared}
        named = {" ".join(key): of for key, of in records.items()}
        self._estimates = _estimates(named, direction, step)
        self._intervals = intervals(self._estimates, 1 - CONFIDENCE)

    def gap(self, label: str, pair: tuple[str, str]) -> Gap:
        """Return the difference of a configuration of A and one of B."""
        a, b = self._first[pair[0]], self._second[pair[1]]
        same = a[0].params == b[0].params
        first = {record.seed: record.value or 0.0 for record in a}
        second = {record.seed: record.value or 0.0 for record in b}
        # The same training in another environment: what is left differs seed by seed.
        if same and self._alike and set(first) & set(second):
            return paired(label, first, second, step=self._step, alike=True, same_params=True)
        one, two = (self._estimates[f"{study} {of}"] for study, of in zip("AB", pair, strict=True))
        mean, n = two.mean - one.mean, min(one.n, two.n)
        error, freedom = standard_error(one.cautious, two.cautious)
        reach = math.inf
        if math.isfinite(error):
            reach = modulus_quantile(self._count, freedom, 1 - CONFIDENCE) * error
        return Gap(
            label=label,
            a=self._intervals[f"A {pair[0]}"],
            b=self._intervals[f"B {pair[1]}"],
            gap=Interval(n=n, mean=mean, sd=error, low=mean - reach, high=mean + reach),
            same_params=same,
        )


def _estimates(
    records: Mapping[str, Sequence[TrialRecord]], direction: Direction, step: float
) -> dict[str, Estimate]:
    """Return means and errors as in ``judge_configurations``."""
    # A choice's best may be the default: one set of trainings, which counts once.
    same: dict[tuple[str, ...], str] = {}
    named = {
        key: same.setdefault((key[0], *(str(record.number) for record in of)), key)
        for key, of in records.items()
    }
    records = {key: records[key] for key in same.values()}
    values = {key: {r.seed: r.value or 0.0 for r in of} for key, of in records.items()}
    collapsed = collapses(values, direction, step)
    spread = pool(values, step=step, apart=collapsed)
    answers = right_answers(records, _are_the_value)
    shares = image_shares(answers) if answers else {}
    unknown = 0.0 if shares else rounding_error(step) ** 2
    found = {
        key: estimate(of, spread, key, sign=1.0, images=shares.get(key, unknown), able=True)
        for key, of in values.items()
    }
    # Its seeds are not in the pool, so the pool's error is not its own.
    found |= {key: replace(found[key], wide=True) for key in collapsed}
    return {key: found[first] for key, first in named.items()}


def _are_the_value(record: TrialRecord, answers: RightAnswers) -> bool:
    # Of another metric than the accuracy the answers say nothing.
    apart = float(answers.right.mean()) - (record.value or 0.0)
    return abs(apart) <= 0.5 / len(answers.right)


def paired(
    label: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    step: float,
    alike: bool,
    same_params: bool,
) -> Gap:
    """Return the mean difference of values with the same seed, or of the same training.

    ``alike``: they are of the same configuration and settings.
    """
    common = [key for key in first if key in second]
    apart = [abs(difference(first[key], second[key])) for key in common]
    # If the same trainings all gave the same value, rounding did not cause that. If some did not,
    # their values are as rounded as any: two that are one image apart show nothing.
    exact = alike and not any(apart)
    gap = paired_difference(second, first, step=0.0 if exact else step)
    assert gap is not None
    return Gap(
        label=label,
        a=value_interval([first[key] for key in common], step=step),
        b=value_interval([second[key] for key in common], step=step),
        gap=gap,
        n=len(common),
        same=apart.count(0.0),
        largest=max(apart),
        same_params=same_params,
    )
