"""The configurations that are confirmed: the best of each choice, and the baseline's default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.analysis.pareto import front_of, spread
from studies.core.goals import Goals
from studies.core.trials import TrialRecord
from studies.search.enqueued import point_of
from studies.search.population import configuration
from studies.spec import StudySpec


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


def candidates(
    spec: StudySpec, goals: Goals, search: Sequence[TrialRecord], *, front: int
) -> tuple[Candidate, ...]:
    """Return the best feasible trial of each choice (of equals the earlier one), and the default.

    A choice without a COMPLETE trial has no candidate. With several objectives: at most ``front``
    trials of the Pareto front, and the default.
    """
    params = spec.default(spec.baseline)
    found: list[Candidate] = []
    if goals.several:
        for record in spread(front_of(goals, search), front):
            found.append(_found_by(record, record.params, spec, name=f"trial {record.number}"))
    else:
        able = [r for r in search if r.complete and r.feasible and r.value is not None]
        for choice in spec.choices:
            own = [r for r in able if r.params.get(spec.scientific) == choice]
            if own:
                best = min(own, key=lambda r: (-goals.sign * (r.value or 0.0), r.number))
                # The default itself, if it is one after rounding, is trained once.
                same = _same(best, params)
                found.append(_found_by(best, params if same else configuration(best), spec))
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


def _found_by(
    record: TrialRecord, params: Mapping[str, Any], spec: StudySpec, name: str = ""
) -> Candidate:
    return Candidate(
        choice=str(record.params.get(spec.scientific)),
        default=False,
        params=params,
        search_trial=record.number,
        search_value=record.value,
        search_values=record.values,
        name=name,
    )


def _same(record: TrialRecord, params: Mapping[str, Any]) -> bool:
    return point_of(record.params) == point_of(params)
