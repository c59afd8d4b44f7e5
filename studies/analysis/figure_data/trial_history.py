"""All trials in their order, and the best so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from studies.analysis.figure_data.trials import complete
from studies.core.trials import TrialRecord, TrialState


@dataclass(frozen=True)
class History:
    """All trials in their order.

    Attributes:
        pruned: those that have a value.
        infeasible: the number of trials that were not trained, as they are over a limit.
        best: number and value of each trial that was better than all before it.
    """

    complete: list[TrialRecord]
    pruned: list[TrialRecord]
    failed: list[TrialRecord]
    infeasible: int
    best: list[tuple[int, float]]


def history(search: Sequence[TrialRecord], sign: float) -> History:
    """Return what the optimization history shows."""
    best: list[tuple[int, float]] = []
    for record in complete(search):
        value = record.value or 0.0
        if record.feasible and (not best or sign * value > sign * best[-1][1]):
            best.append((record.number, value))
    return History(
        complete=complete(search),
        pruned=[r for r in search if r.state == TrialState.PRUNED and r.value is not None],
        failed=[r for r in search if r.ending == TrialState.FAIL],
        infeasible=sum(r.ending == TrialState.INFEASIBLE for r in search),
        best=best,
    )
