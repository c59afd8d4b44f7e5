"""The lines of ``verdicts.py`` about the verdict on choices: does it hold for another search?

Each study draws five trials a choice, sees their values with one seed, confirms the best two on two
fresh seeds and the one that leads there on four. Values are in points.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from simulated import todays_verdict as today
from simulated.luck import FIRST_SEEDS, Searched, calibrated, results
from simulated.rate import Rate
from studies.statistics.verdicts import Judgement, judge_choices

Array = npt.NDArray[np.float64]
CHOICES = 9
LUCK = {
    "normal, sd .15": ("normal", 0.15, 1.0),
    "normal, sd .3": ("normal", 0.3, 1.0),
    "normal, sd .5": ("normal", 0.5, 1.0),
    "normal, sd .8": ("normal", 0.8, 1.0),
    "quadratic loss of 4 parameters, sd .5": ("quadratic", 0.5, 1.0),
    "exponential loss, sd .5": ("exponential", 0.5, 1.0),
    "normal, sd .5, 6 times as large for some choices as for others": ("normal", 0.5, 6.0),
}
"""What differs between reruns: the shape of the trials, the results' standard deviation, and how
far it differs between choices."""


def reruns(studies: int) -> Iterator[Rate]:
    """Pairs of studies that differ in the search's seed only: does one call the other's best worse?

    The choices' results have expectations 0, -.1, …, -.8.
    """
    for number, (named, (kind, sd, ratio)) in enumerate(LUCK.items()):
        scale, shift = calibrated(kind, sd, ratio, CHOICES)
        sides = [
            results(np.random.default_rng(600 + 10 * number + rerun), kind, studies, scale).shifted(
                -0.1 * np.arange(CHOICES) - shift
            )
            for rerun in range(2)
        ]
        old = [today.judge(side.confirmed[:, :, 0]) for side in sides]
        before = _contradicted(*[(one.best, one.worse) for one in old])
        new = [_best_and_worse(side) for side in sides]
        yield Rate(
            f"reruns contradict: luck {named}", _share(before), _share(_contradicted(*new)), 5
        )
        excluded = new[0][1]
        yield Rate(
            "… the truly best choice called worse",
            _share(old[0].worse[:, 0]),
            _share(excluded[:, 0]),
            5,
        )
        yield Rate(
            "… a choice .8 points below it called worse",
            _share(old[0].worse[:, -1]),
            _share(excluded[:, -1]),
        )


def choices(studies: int) -> Iterator[Rate]:
    """What the verdict on choices claims, and what confirmed runners-up add to its power.

    "before" is the luck as the two best *search values* tell it, "now" as confirmed means do.
    """
    for number, (named, (kind, sd, ratio)) in enumerate(LUCK.items()):
        scale, shift = calibrated(kind, sd, ratio, CHOICES)
        rng = np.random.default_rng(700 + number)
        equal = results(rng, kind, studies, scale).shifted(-shift)
        found = [[judged(equal, study, told) for study in range(studies)] for told in (False, True)]
        holds = [
            [one.intervals[one.comparison.best].includes(0.0) for one in of_rule]
            for of_rule in found
        ]
        yield Rate(
            f"winner's interval as a choice holds its expectation: luck {named}",
            *map(_share, holds),
            94,
            at_most=False,
        )
        sole = [[one.comparison.sole for one in of_rule] for of_rule in found]
        yield Rate("… nine equal choices, one called the sole best", *map(_share, sole), 1)
        better = results(rng, kind, studies, scale).shifted(
            np.r_[0.6, np.zeros(CHOICES - 1)] - shift
        )
        found = [
            [judged(better, study, told) for study in range(studies)] for told in (False, True)
        ]
        sole = [
            [one.comparison.sole and one.comparison.best == "0" for one in of_rule]
            for of_rule in found
        ]
        yield Rate("… a choice truly +.6 declared the sole best", *map(_share, sole))
        worse = [[worse_of(one)[1:].mean() for one in of_rule] for of_rule in found]
        yield Rate("… another choice called worse beside it", *map(_share, worse))


def judged(of: Searched, study: int, confirmed: bool = True) -> Judgement:
    """Return the verdict on the choices of one study; luck by confirmed means or search values."""
    two = of.confirmed[study, :, :, :FIRST_SEEDS].mean(axis=2) if confirmed else of.search[study]
    pairs = {str(choice): (first, second) for choice, (first, second) in enumerate(two.tolist())}
    found = judge_choices(_named(of.confirmed[study, :, 0]), pairs, raced=confirmed)
    assert found is not None
    return found


def worse_of(one: Judgement) -> Any:
    """Return which choices are called worse, bool ``[choices]``."""
    return np.array([str(choice) in one.comparison.worse for choice in range(CHOICES)])


def _best_and_worse(of: Searched) -> tuple[Any, Any]:
    found = [judged(of, study) for study in range(len(of.worth))]
    best = np.array([int(one.comparison.best) for one in found])
    return best, np.array([worse_of(one) for one in found])


def _contradicted(first: tuple[Any, Any], second: tuple[Any, Any]) -> Any:
    each = np.arange(len(first[0]))
    return second[1][each, first[0]] | first[1][each, second[0]]


def _named(values: Array) -> dict[str, Mapping[int, float]]:
    return {str(number): dict(enumerate(row)) for number, row in enumerate(values.tolist())}


def _share(hits: Any) -> float:
    return 100 * float(np.mean(hits))
