"""How the values of each choice's trials spread."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from studies.analysis.figure_data.trials import by_choice, complete
from studies.core.trials import TrialRecord
from studies.spec import StudySpec


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclass(frozen=True, kw_only=True)
class Box:
    """The values of one choice's trials of full budget, ``values`` in ascending order."""

    choice: str
    values: list[float]
    low: float
    median: float
    high: float


def boxes(spec: StudySpec, search: Sequence[TrialRecord]) -> list[Box]:
    """Return a box for each choice that has trials; none of a study that compares no choices."""
    found = []
    for choice, records in by_choice(spec, complete(search)) if spec.compares else ():
        values = sorted(record.value for record in records if record.value is not None)
        if values:
            low, median, high = quartiles(values)
            found.append(Box(choice=str(choice), values=values, low=low, median=median, high=high))
    return found
