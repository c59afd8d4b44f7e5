"""The simulated studies of ``verdicts.py``: one function a question, each with rates of both rules.

Values are in points (per cent). A seed's standard deviation is .25, as over the confirmed
configurations of the study ``optim_search``, unless a row says otherwise.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from simulated import choice_rows, trend_rows
from simulated import todays_verdict as today
from simulated.rate import Rate
from studies.statistics.crossed import accuracy, difference
from studies.statistics.verdicts import Conditions, Judgement, judge_configurations

Array = npt.NDArray[np.float64]
CHOICES = 9
SD = 0.25
DEFAULT = "default"


def questions(studies: int) -> dict[str, Callable[[], Iterable[Rate]]]:
    """Return what is simulated, by name; each question has random seeds of its own."""
    return {
        "default": lambda: [
            *(false_gain(studies, (seeds,), f"{seeds} seeds") for seeds in (3, 4, 6, 8, 10)),
            false_gain(studies, (4, 8, 12, 16), "looks at 4, 8, 12, 16 seeds"),
            false_gain(studies, tuple(range(4, 17)), "looks at every number from 4 to 16"),
        ],
        "sole best": lambda: sole_best(studies),
        "unequal": lambda: unequal(studies),
        "poor": lambda: poor(studies),
        "winner": lambda: [winners_interval(studies, seeds) for seeds in (3, 4, 8)],
        "reruns": lambda: choice_rows.reruns(studies),
        "choices": lambda: choice_rows.choices(studies),
        "trend": lambda: trend_rows.trends(studies),
        "collapse": lambda: [collapses(studies)],
        "images": lambda: images(studies),
    }


def false_gain(studies: int, looks: tuple[int, ...], named: str) -> Rate:
    """Nine choices equal to the default: is the best one called better than it, at any look?"""
    values = _draw(100 + len(looks) + looks[0], (studies, CHOICES + 1, max(looks)))
    before = now = np.zeros(studies, dtype=bool)
    for seeds in looks:
        seen = values[:, :, :seeds]
        best = today.judge(seen[:, :-1]).best
        of_best = np.take_along_axis(seen[:, :-1], best[:, None, None], axis=1)[:, 0]
        before = before | (today.paired(seen[:, -1], of_best)[0] > 0)
        found = [_judged(one, default=DEFAULT) for one in seen]
        now = now | [any(gain.better for gain in one.gains.values()) for one in found]
    return Rate(f'false "better than the default": {named}', _share(before), _share(now), 2.5)


def sole_best(studies: int) -> Iterator[Rate]:
    """One choice is truly .6 points better than eight equal ones; 4 seeds."""
    means = np.r_[0.6, np.zeros(CHOICES - 1)]
    values = means[:, None] + _draw(2, (studies, CHOICES, 4))
    old = today.judge(values)
    new = [_judged(one) for one in values]
    found = [one.comparison.sole and one.comparison.best == "0" for one in new]
    yield Rate(
        "truly +.6 declared sole best, 4 seeds",
        _share(old.sole & (old.best == 0)),
        _share(found),
        45,
        at_most=False,
    )
    lost = [one.comparison.best != "0" and "0" in one.comparison.worse for one in new]
    yield Rate("… and called worse", _share(old.worse[:, 0]), _share(lost), 5)
    values = _draw(3, (studies, CHOICES, 4))
    old = today.judge(values)
    new = [_judged(one) for one in values]
    excluded = [len(one.comparison.worse) / CHOICES for one in new]
    yield Rate("nine equal, 4 seeds: a choice called worse", _share(old.worse), _share(excluded), 5)
    before = [_incoherent(one, worse) for one, worse in zip(values, old.worse, strict=True)]
    now = [_incoherent(one, _worse(j)) for one, j in zip(values, new, strict=True)]
    yield Rate("… while a choice of a lower mean is kept", _share(before), _share(now), 0)


def unequal(studies: int) -> Iterator[Rate]:
    """Nine choices of equal means and unequal spread: any sole best is wrong."""
    spreads = {
        "one spreads 2 times as much": np.r_[2.0, np.ones(8)],
        "one 3 times": np.r_[3.0, np.ones(8)],
        "one 10 times": np.r_[10.0, np.ones(8)],
        "from .4 to 3.6 times": np.linspace(0.4, 3.6, 9),
    }
    for number, (named, spread) in enumerate(spreads.items()):
        for seeds in (3, 4):
            values = spread[:, None] * _draw(40 + number, (studies, CHOICES, seeds))
            before = today.judge(values).sole
            now = [_judged(one).comparison.sole for one in values]
            yield Rate(f"wrong sole best, {named}, {seeds} seeds", _share(before), _share(now), 1)


def poor(studies: int) -> Iterator[Rate]:
    """Accuracies as after one epoch, 40 to 97 %, which spread the more the lower they are; 3 seeds.

    "before" pools them as they are, "now" on the logit scale where they are far below the best.
    """
    truth = np.array([0.97, 0.97, 0.965, 0.95, 0.9, 0.8, 0.7, 0.6, 0.4])
    odds = truth * (1 - truth)
    for named, spread in (("p(1-p)", odds), ("its power 1.4", odds[0] * (odds / odds[0]) ** 1.4)):
        draw = np.random.default_rng(90).standard_normal((studies, CHOICES, 3))
        images = np.clip(truth[:, None] + 0.1 * spread[:, None] * draw, 0, 1).round(4)
        found = []
        for step in (0.0, 1e-4):  # 0: another metric, which has no such scale
            judged = [judge_configurations(_named(one), Conditions(step=step)) for one in images]
            best = [
                (one.intervals[one.comparison.best], truth[int(one.comparison.best)], one)
                for one in judged
                if one is not None
            ]
            found.append(
                (
                    _share([interval.includes(value) for interval, value, _ in best]),
                    100 * float(np.median([interval.half_width for interval, *_ in best])),
                    _share([one.comparison.sole for *_, one in best]),
                )
            )
        holds, half, sole = zip(*found, strict=True)
        what = f"one epoch, spread as {named}: winner's interval holds its true value"
        yield Rate(what, *holds, 94, at_most=False)
        yield Rate("… its half width, in points", *half)
        # Half of LEVEL, as the look at up to four seeds may use.
        yield Rate("… one of two equal best ones declared the sole best", *sole, 2.5)


def winners_interval(studies: int, seeds: int) -> Rate:
    """Nine equal choices: does the interval of the best mean hold the true value?"""
    values = _draw(50 + seeds, (studies, CHOICES, seeds))
    old = today.judge(values)
    low, high = (np.take_along_axis(end, old.best[:, None], axis=1) for end in (old.low, old.high))
    now = []
    for one in values:
        found = _judged(one)
        now.append(found.intervals[found.comparison.best].includes(0.0))
    before = (low <= 0) & (high >= 0)
    what = f"winner's interval holds its true value, {seeds} seeds"
    return Rate(what, _share(before), _share(now), 94, at_most=False)


def collapses(studies: int) -> Rate:
    """Each training collapses with probability .04: is such a configuration best or a tie?"""
    rng = np.random.default_rng(70)
    values = 98 + SD * rng.standard_normal((studies, CHOICES, 4))
    broken = rng.random(values.shape) < 0.04
    values[broken] = 11.35
    hit = broken.any(axis=2)
    old = today.judge(values)
    before = hit & ~old.worse
    new = [_judged(one) for one in values]
    now = np.array([~_worse(one) & ~_collapsed(one) for one in new]) & hit
    what = "a configuration with a collapsed seed is best or a tie"
    return Rate(what, _share(before[hit]), _share(now[hit]), 0)


def images(studies: int) -> Iterator[Rate]:
    """Accuracy near 98.4 % from bits: an image is hard for all, for a choice, for one model."""
    for seeds, count in ((3, 1000), (4, 1000), (8, 1000), (4, 5000)):
        rng = np.random.default_rng(80 + seeds + count)
        truth = float(np.mean([_bits(rng, 1, 50_000)[0].mean() for _ in range(200)]))
        hits: dict[str, list[bool]] = {name: [] for name in ("m0", "m1", "d0", "d1")}
        for _ in range(studies):
            hard = rng.standard_normal(count)
            first, second = (_bits(rng, seeds, count, hard) for _ in range(2))
            one, two = (dict(enumerate(of)) for of in (first, second))
            ours, gap = accuracy(one), difference(one, two)
            old = today.judge(100 * first.mean(axis=1)[None, None, :])
            low, high = today.paired(second.mean(axis=1), first.mean(axis=1))
            hits["m0"].append(bool(old.low[0, 0] <= 100 * truth <= old.high[0, 0]))
            hits["m1"].append(ours.interval.includes(truth))
            hits["d0"].append(bool(low <= 0 <= high))
            hits["d1"].append(gap.interval.includes(0.0))
        where = f"{seeds} seeds, {count:,} images"
        yield Rate(
            f"interval of a mean holds the truth, {where}",
            _share(hits["m0"]),
            _share(hits["m1"]),
            94,
            at_most=False,
        )
        yield Rate(
            f"interval of a difference, {where}",
            _share(hits["d0"]),
            _share(hits["d1"]),
            94,
            at_most=False,
        )


def _draw(seed: int, shape: tuple[int, ...]) -> Array:
    return SD * np.random.default_rng(seed).standard_normal(shape)


def _named(values: Array, default: str | None = None) -> dict[str, Mapping[int, float]]:
    names = [str(number) for number in range(len(values))]
    if default is not None:
        names[-1] = default
    rows = values.tolist()
    return {name: dict(enumerate(row)) for name, row in zip(names, rows, strict=True)}


def _judged(values: Array, default: str | None = None) -> Judgement:
    found = judge_configurations(_named(values, default), Conditions(default=default))
    assert found is not None
    return found


def _worse(one: Judgement) -> Any:
    return np.array([str(choice) in one.comparison.worse for choice in range(CHOICES)])


def _collapsed(one: Judgement) -> Any:
    return np.array([str(choice) in one.collapsed for choice in range(CHOICES)])


def _incoherent(values: Array, worse: Any) -> bool:
    """Whether a choice is excluded and one with a lower mean is not."""
    means = values.mean(axis=1)
    return bool(worse.any() and not worse.all() and means[worse].max() > means[~worse].min())


def _bits(rng: np.random.Generator, seeds: int, count: int, hard: Array | None = None) -> Any:
    """Return whether each image is right, bool ``[seeds, images]``."""
    hard = rng.standard_normal(count) if hard is None else hard
    of_choice = 0.6 * rng.standard_normal(count)
    of_model = 0.8 * rng.standard_normal((seeds, count)) + 0.1 * rng.standard_normal((seeds, 1))
    return 2 * hard + of_choice + of_model < 4.85


def _share(hits: Any) -> float:
    return 100 * float(np.mean(hits))
