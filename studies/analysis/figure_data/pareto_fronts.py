"""The metric over each further objective."""

from collections.abc import Sequence
from dataclasses import dataclass

from studies.analysis.pareto import dominates
from studies.analysis.result import StudyResult, means
from studies.analysis.scales import Point
from studies.core.goals import Goals
from studies.core.trials import TrialRecord


@dataclass(frozen=True)
class Front:
    """The metric over one further objective, the objective number ``index``, at full budget.

    Points are the further objective and the metric.

    Attributes:
        infeasible: trials over a limit.
        beaten: trials that another one beats in all objectives.
        steps: the best metric for each bound of the further objective.
        confirmed: label and means over fresh seeds of each confirmed configuration.
        default: the means of the default configuration; None: it is not confirmed.
        limit: of the further objective; None: the study has none.
    """

    name: str
    index: int
    infeasible: list[TrialRecord]
    beaten: list[TrialRecord]
    best: list[TrialRecord]
    steps: list[Point]
    confirmed: list[tuple[str, Point]]
    default: Point | None
    limit: float | None


def fronts(result: StudyResult, search: Sequence[TrialRecord]) -> list[Front]:
    """Return a front for each further objective; none before a trial has run its full budget."""
    goals, front = result.plan.goals, result.front
    known = [r for r in search if r.complete and len(r.values) == len(goals.names)]
    numbers = {record.number for record in front}
    return [
        Front(
            name=name,
            index=index,
            infeasible=[r for r in known if not r.feasible],
            beaten=[r for r in known if r.feasible and r.number not in numbers],
            best=[r for r in known if r.number in numbers],
            steps=steps(goals, [r for r in known if r.number in numbers], index),
            confirmed=_confirmed(result, index),
            default=_default(result, index),
            limit=goals.limits.get(name),
        )
        for index, name in enumerate(goals.names[1:], start=1)
        if known
    ]


def steps(goals: Goals, front: Sequence[TrialRecord], index: int) -> list[Point]:
    """Return the line through a front: from each point level to the next, then up to it.

    With more than two objectives, of the trials that none beats in these two.
    """
    signs = goals.signs[0], goals.signs[index]
    places = [(r.values[0], r.values[index]) for r in front]
    kept = sorted(
        {
            (cost, value)
            for value, cost in places
            if not any(dominates(other, (value, cost), signs) for other in places)
        },
        key=lambda point: -signs[1] * point[0],
    )
    drawn: list[Point] = []
    for point in kept:
        if drawn:
            drawn.append((point[0], drawn[-1][1]))
        drawn.append(point)
    return drawn


def _confirmed(result: StudyResult, index: int) -> list[tuple[str, Point]]:
    found = [(row, means(result, row)) for row in result.rows if row is not result.default_row]
    return [(row.label, (of[index], of[0])) for row, of in found if of]


def _default(result: StudyResult, index: int) -> Point | None:
    row = result.default_row
    of = means(result, row) if row is not None else ()
    return (of[index], of[0]) if of else None
