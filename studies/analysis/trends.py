"""The trend over the scientific parameter, where its choices are numbers."""

from studies.analysis.result import StudyResult
from studies.core.levels import is_number
from studies.statistics.trend import LEAST, Trend, trend
from studies.statistics.verdicts import CHOICE_LEVEL


def numbers(result: StudyResult) -> dict[str, float]:
    """Return the number that each choice is, by label; {}: they are not numbers, or too few."""
    choices = result.plan.spec.choices
    found = {str(one): float(one) for one in choices if isinstance(one, int | float)}
    whole = all(map(is_number, choices)) and len(found) >= LEAST
    return found if whole and not result.several else {}


def trend_of(result: StudyResult) -> Trend | None:
    """Return the trend; None: the choices are not numbers, or the luck of the search is unknown."""
    judged, levels = result.verdicts.choices, numbers(result)
    if judged is None or not levels:
        return None
    sign, level = result.plan.spec.sign, CHOICE_LEVEL * judged.level
    return trend(levels, judged.estimates, sign=sign, level=level)
