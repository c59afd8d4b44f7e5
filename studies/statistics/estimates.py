"""A choice's mean and its error: from the seeds, the images and the luck of the search."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from studies.statistics.pooled import Pool

FEW_SEEDS = 3
"""With so few a choice that spreads much more than others is often not seen to: its own larger
variance then counts with its own degrees of freedom, as in Welch's test."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the variance of a mean.

    Attributes:
        variance: >= 0.
        freedom: degrees of freedom of its estimate; inf: it is known.
        source: parts with the same name share one estimate, as a pooled variance; "": they do not.
    """

    variance: float
    freedom: float
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A choice's mean, larger is better, and its error.

    Attributes:
        mean: sign turned where smaller is better.
        n: number of seeds.
        parts: the error as the choices share it.
        own: the error as this choice's own values show it, where that is larger; else ``parts``.
        wide: whether ``parts`` does not hold for it, as its variance stands out. It is then judged
            by ``own`` and never called a tie.
        doubtful: whether its own error counts in its favour: it is excluded only if ``own``
            excludes it, too.
        able: whether it may be called best.
    """

    mean: float
    n: int
    parts: tuple[Part, ...]
    own: tuple[Part, ...] = ()
    wide: bool = False
    doubtful: bool = False
    able: bool = True

    @property
    def common(self) -> tuple[Part, ...]:
        """The error it is judged by: its own if it stands out."""
        return self.own if self.wide and self.own else self.parts

    @property
    def cautious(self) -> tuple[Part, ...]:
        """The error by which claims in its favour are judged: the larger one."""
        return self.own or self.parts


def estimate(
    by_seed: Mapping[int, float],
    spread: Pool,
    choice: str,
    *,
    sign: float,
    images: float,
    able: bool,
) -> Estimate:
    """Return a choice's estimate with the error of seeds and images.

    Args:
        by_seed: its metric by seed, at least one.
        spread: the common variance of a seed.
        choice: its name in ``spread``.
        sign: -1 where smaller is better.
        images: its share in the image variance of a difference.
        able: whether it may be called best.
    """
    n = len(by_seed)
    first = next(iter(by_seed.values()))
    mean = first + math.fsum(value - first for value in by_seed.values()) / n
    known = spread.freedom > 0
    shared = Part(
        variance=spread.variance_of(choice) / n if known else math.inf,
        freedom=spread.freedom or 1.0,
        source="seeds",
    )
    variance = spread.own.get(choice, math.nan) / n
    wide = choice in spread.outside
    own = shared
    if wide or not known:
        variance = variance if variance == variance else math.inf
        own = Part(variance=variance, freedom=max(1.0, n - 1.0))
    elif variance > shared.variance:
        freedom = n - 1.0 if n <= FEW_SEEDS else shared.freedom
        own = replace(shared, variance=variance, freedom=freedom, source="")
    of_images = (Part(variance=images, freedom=math.inf),) if images else ()
    return Estimate(
        mean=sign * mean,
        n=n,
        parts=(shared, *of_images),
        own=(own, *of_images),
        wide=wide or not known,
        able=able,
    )


def with_luck(one: Estimate, luck: Pool, choice: str, *, lucky: bool) -> Estimate:
    """Return the estimate with the search's part in its error."""
    if not lucky:
        return one
    seeds, *images = one.common
    wide = one.wide or choice in luck.outside
    pooled = max(luck.variance_of(choice), seeds.variance)
    shared = Part(variance=pooled, freedom=luck.freedom, source="luck")
    mine = max(pooled, luck.own.get(choice, 0.0))
    freedom = 1.0 if wide else luck.freedom
    own = Part(variance=mine, freedom=freedom, source="luck" if mine == pooled else "")
    return replace(one, parts=(shared, *images), own=(own, *images), wide=wide, doubtful=True)


def standard_error(*sides: tuple[Part, ...]) -> tuple[float, float]:
    """Return the standard error of a mean or a difference, and its degrees of freedom.

    Satterthwaite 1946, doi:10.2307/3002019. (inf, NaN) if the error is not known at all.
    """
    variance = uncertain = 0.0
    shared: dict[str, list[Part]] = {}
    for number, part in enumerate(part for side in sides for part in side):
        variance += part.variance
        shared.setdefault(part.source or f"#{number}", []).append(part)
    if not math.isfinite(variance):
        return math.inf, math.nan
    for parts in shared.values():
        if math.isfinite(parts[0].freedom):
            uncertain += sum(part.variance for part in parts) ** 2 / parts[0].freedom
    return math.sqrt(variance), variance**2 / uncertain if uncertain > 0 else math.inf
