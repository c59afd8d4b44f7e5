"""The configurations that are confirmed: the best of each choice, and the baseline's default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.analysis.pareto import front_of, spread
from studies.core.trials import TrialRecord
from studies.planning.plan import Plan
from studies.search.enqueued import point_of
from studies.search.population import configuration


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that is confirmed: the best one of a choice or of the front, or the default.

    Attributes:
        choice: its choice of the scientific parameter, as text.
        default: whether it is the baseline's default configuration.
        search_trial: number of the search trial that found it; None for a default not tried.
        search_values: all objectives of that trial, the metric first.
        feasible: whether that trial keeps the study's limits; if it does not, it cannot win.
    """

    choice: str
    default: bool
    params: Mapping[str, Any]
    search_trial: int | None
    search_value: float | None
    search_values: tuple[float, ...] = ()
    name: str = ""
    feasible: bool = True

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.name or (f"{self.choice} (default)" if self.default else self.choice)


def candidates(plan: Plan, search: Sequence[TrialRecord]) -> tuple[Candidate, ...]:
    """Return the best feasible trial of each choice (of equals the earlier one), and the default.

    A choice without a COMPLETE trial has no candidate. With several objectives: at most
    ``confirm.front`` trials of the Pareto front, and the default.
    """
    spec = plan.spec
    goals = plan.goals
    found = [
        Candidate(
            choice=str(record.params.get(spec.scientific)),
            default=False,
            params=record.params,
            search_trial=record.number,
            search_value=record.value,
            search_values=record.values,
            name=f"trial {record.number}",
        )
        for record in (
            spread(front_of(goals, search), plan.settings.confirm.front) if goals.several else ()
        )
    ]
    params = spec.default(spec.baseline)
    for choice in () if goals.several else spec.choices:
        complete = [
            record
            for record in search
            if record.complete
            and record.feasible
            and record.value is not None
            and record.params.get(spec.scientific) == choice
        ]
        if complete:
            best = min(
                complete,
                key=lambda record: (-goals.signs[0] * (record.value or 0.0), record.number),
            )
            found.append(
                Candidate(
                    choice=str(choice),
                    default=False,
                    # The default itself, if it is one after rounding, is trained once.
                    params=params if _same(best, params) else configuration(best),
                    search_trial=best.number,
                    search_value=best.value,
                )
            )
    tried = next((r for r in search if _same(r, params) and r.complete), None)
    default = Candidate(
        choice=str(spec.baseline),
        default=True,
        params=params,
        search_trial=tried.number if tried else None,
        search_value=tried.value if tried else None,
        search_values=tried.values if tried else (),
        name="default" if goals.several else "",
        feasible=all(r.feasible for r in search if _same(r, params)),
    )
    return (*found, default)


def _same(record: TrialRecord, params: Mapping[str, Any]) -> bool:
    return point_of(record.params) == point_of(params)
