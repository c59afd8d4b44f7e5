"""The lines of ``verdicts.py`` about trends: five levels of a number, searched and confirmed.

Each level is a choice as in ``choice_rows.py``. "before" is the same trend without the luck of the
search in its error, as the verdict on configurations has it.
"""

from collections.abc import Iterator

import numpy as np

from simulated.choice_rows import LUCK, judged
from simulated.luck import Searched, calibrated, results
from simulated.rate import Rate
from studies.statistics.trend import Trend, trend
from studies.statistics.verdicts import CHOICE_LEVEL, Judgement, judge_configurations

LEVELS = 5
RISE = 1.5
"""Points from the lowest level to the highest, or from the ends to the middle."""


def trends(studies: int) -> Iterator[Rate]:
    """How often a trend is told where there is none, and where there is one."""
    for number, (named, (kind, sd, ratio)) in enumerate(LUCK.items()):
        scale, shift = calibrated(kind, sd, ratio, LEVELS)
        drawn = results(np.random.default_rng(800 + number), kind, studies, scale).shifted(-shift)
        found = _found(drawn, studies)
        told = [[one is not None and one.told for one in rule] for rule in found]
        yield Rate(f"five equal levels, a trend told: luck {named}", *map(_share, told), 5)
        at = np.linspace(-1, 1, LEVELS)
        rising = _found(drawn.shifted(RISE / 2 * at), studies)
        up = [[one is not None and one.up > 0 for one in rule] for rule in rising]
        yield Rate(f"… a rise by {RISE:g} seen", *map(_share, up))
        bent = _found(drawn.shifted(-RISE * at**2), studies)
        peak = [[one is not None and one.peak > 0 for one in rule] for rule in bent]
        yield Rate(f"… a middle {RISE:g} above both ends seen", *map(_share, peak))


def _found(of: Searched, studies: int) -> tuple[list[Trend | None], list[Trend | None]]:
    """Return the trends without and with the luck of the search in the error."""
    without = [
        judge_configurations(
            {str(level): dict(enumerate(row)) for level, row in enumerate(one[:, 0].tolist())}
        )
        for one in of.confirmed
    ]
    return (
        [_trend(one) for one in without],
        [_trend(judged(of, study)) for study in range(studies)],
    )


def _trend(found: Judgement | None) -> Trend | None:
    if found is None:
        return None
    levels = {str(level): float(level) for level in range(LEVELS)}
    return trend(levels, found.estimates, sign=1.0, level=CHOICE_LEVEL * found.level)


def _share(hits: list[bool]) -> float:
    return 100 * float(np.mean(hits))
