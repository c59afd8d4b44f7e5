"""How numbers are written in tables and lines: metrics, parameters, durations."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from objectives.base import is_share as is_share
from studies.statistics.intervals import Interval

_LARGE = 1e9
"""From here on values are written with an exponent."""


def metric_text(metric: str, value: float | None) -> str:
    """Write a metric's value: ``98.21 %`` for fractions, else four digits, ``-`` for None.

    Large values have seven digits: those of one study often share the first four.
    """
    if value is None or math.isnan(value):
        return "-"
    if is_share(metric):
        return f"{100 * value:.2f} %"
    return f"{value:.7g}" if 1e4 <= abs(value) < _LARGE else f"{value + 0.0:.4g}"


def bare_text(metric: str, value: float | None) -> str:
    """Write a value without its unit, for a column whose head names it."""
    return metric_text(metric, value).removesuffix(" %")


def possible(metric: str, interval: Interval, *, gap: bool = False) -> Interval:
    """Return ``interval`` with its ends cut at what the metric can be; only of fractions.

    With ``gap`` it is of a difference, which is from -1 to 1; else of a mean.
    """
    # A t interval of few seeds can reach beyond 0 and 100 %. After the cut it holds the true value
    # as often as before.
    if not is_share(metric):
        return interval
    least = -1.0 if gap else 0.0
    return dataclasses.replace(interval, low=max(least, interval.low), high=min(1.0, interval.high))


def mean_text(metric: str, interval: Interval | None) -> str:
    """Write mean ± half the interval, e.g. ``98.21 ± 0.12``, without the unit.

    If the interval is cut, its ends are written: ``99.80 [99.45, 100.00]``.
    """
    if interval is None:
        return "-"
    cut = possible(metric, interval)
    if interval.n > 1 and cut != interval:
        low, high = bare_text(metric, cut.low), bare_text(metric, cut.high)
        return f"{bare_text(metric, interval.mean)} [{low}, {high}]"
    return f"{_fine(metric, interval)} ± {_half(metric, interval)}"


def _fine(metric: str, interval: Interval) -> str:
    """Write the mean of an interval with as many digits as half of it needs."""
    said = bare_text(metric, interval.mean)
    half = interval.half_width
    if is_share(metric) or not (0 < half < abs(interval.mean) < _LARGE):
        return said
    digits = 2 + math.floor(math.log10(abs(interval.mean))) - math.floor(math.log10(half))
    return said if digits <= 4 else f"{interval.mean:.{min(digits, 12)}g}"


def gap_text(metric: str, interval: Interval | None) -> str:
    """Write a difference and its interval, e.g. ``-0.12 [-0.30, +0.06]``, without the unit."""
    if interval is None:
        return "-"
    scale = 100 if is_share(metric) else 1
    digits = ".2f" if is_share(metric) else ".3g"
    mean = signed(scale * interval.mean, digits)
    if interval.n < 2:
        return f"{mean} [n = 1]"
    cut = possible(metric, interval, gap=True)
    return f"{mean} [{signed(scale * cut.low, digits)}, {signed(scale * cut.high, digits)}]"


def signed(value: float, digits: str) -> str:
    """Write ``value`` with its sign and as many digits as the format ``digits`` has."""
    return f"{value + 0.0:+{digits}}"  # + 0.0: an end at -0.0 is at 0


def unit(metric: str) -> str:
    """Return ``%`` for fractions, else ""."""
    return "%" if is_share(metric) else ""


def metric_on_test(metric: str) -> str:
    """Return the test set's name of a validation metric: ``val_accuracy`` -> ``test_accuracy``."""
    return f"test_{metric.removeprefix('val_')}"


def duration(seconds: float) -> str:
    """Write seconds: ``0.4 s``, ``12 s``, ``3:05``, ``1:02:03``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def params_text(params: Mapping[str, Any]) -> str:
    """Write parameters in short: ``adam lr=0.00123 weight_decay=0``.

    A text value stands without its name, and prefixes are left out if the names stay unique.
    """
    leaves = [name.rpartition(".")[2] for name in params]
    words = []
    for (name, value), leaf in zip(params.items(), leaves, strict=True):
        if isinstance(value, str):
            words.append(value)
            continue
        if isinstance(value, list):
            words.append(f"and {len(value)} {name}")
            continue
        short = leaf if leaves.count(leaf) == 1 else name
        words.append(f"{short}={value:.3g}" if isinstance(value, float) else f"{short}={value}")
    return " ".join(words)


def listed(words: Sequence[str], *, last: str = "and") -> str:
    """Join words: ``a``, ``a and b``, ``a, b and c``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _half(metric: str, interval: Interval) -> str:
    if math.isinf(interval.half_width):
        return "?"
    return bare_text(metric, interval.half_width)
