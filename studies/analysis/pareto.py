"""The Pareto front of a study with several objectives: what no other trial beats in all of them."""

from collections.abc import Sequence

from mnist_core.console.plain_text import are, counted
from mnist_core.errors import UserError
from studies.core.goals import Goals
from studies.core.trials import TrialRecord, TrialState


def dominates(one: Sequence[float], other: Sequence[float], signs: Sequence[float]) -> bool:
    """Whether ``one`` is no worse than ``other`` in any objective, and better in one.

    ``signs`` are 1 where more is better, else -1.
    """
    gains = [sign * (a - b) for a, b, sign in zip(one, other, signs, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def front_of(goals: Goals, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the feasible COMPLETE trials that no other one dominates, by the first objective."""
    able = [r for r in records if r.complete and r.feasible and r.values]
    # Of two trials with the same params the one that comes first here is kept.
    able.sort(key=lambda record: (-goals.sign * record.values[0], record.number))
    kept: list[TrialRecord] = []
    for record in able:
        beaten = any(dominates(other.values, record.values, goals.signs) for other in able)
        if not beaten and all(record.params != other.params for other in kept):
            kept.append(record)
    return kept


def spread(front: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """Return at most ``most`` of ``front``, evenly along it, the best in the metric among them."""
    if len(front) <= most:
        return list(front)
    gaps = max(1, most - 1)
    return [front[round(place * (len(front) - 1) / gaps)] for place in range(most)]


def check_feasible(study: str, goals: Goals, search: Sequence[TrialRecord]) -> None:
    """Check that some trial of ``study`` can be confirmed.

    Raises:
        UserError: if all trials are over the study's limits.
    """
    over = [r for r in search if r.ending == TrialState.INFEASIBLE or not r.feasible]
    if not over or any(r.complete and r.feasible for r in search):
        return
    nearest = min(over, key=lambda record: max(record.excesses.values(), default=0.0))
    limits = ", ".join(f"{name} <= {limit:,.6g}" for name, limit in goals.limits.items())
    raise UserError(
        f"study {study}: none of its {counted(len(search), 'search trial')} ran its full"
        " budget within the"
        f" constraints ({limits}); {len(over)} {are(len(over))} over them, nearest trial"
        f" {nearest.number}"
        f" ({goals.over(nearest.metrics)}); widen search.constraints or change the space, and start"
        " over (--fresh)"
    )
