"""The configurations that are confirmed: the best of each choice or of all, and the default."""

from collections.abc import Iterator, Mapping, Sequence
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
        choice: its choice of the scientific parameter, as text; "" in a study without one.
        default: whether it is the baseline's default configuration.
        search_trial: number of the search trial that found it; None for a default not tried.
        search_values: all objectives of that trial, the metric first.
        feasible: whether that trial keeps the study's limits; if it does not, it cannot win.
        place: its place by search value among the different configurations of its choice, from 1.
        runner_up: whether another configuration of its choice leads on fresh seeds, see
            ``runners_up.py``.
    """

    choice: str
    default: bool
    params: Mapping[str, Any]
    search_trial: int | None
    search_value: float | None
    search_values: tuple[float, ...] = ()
    name: str = ""
    feasible: bool = True
    place: int = 1
    runner_up: bool = False

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.name or (f"{self.choice} (default)" if self.default else self.choice)


def candidates(
    spec: StudySpec, goals: Goals, search: Sequence[TrialRecord], *, front: int, top: int = 1
) -> tuple[Candidate, ...]:
    """Return the ``top`` best feasible configurations of each choice, and the default.

    The configurations of a choice differ and come in the order of their search values, of equals
    the earlier trial first. A choice without a COMPLETE trial has no candidate. With several
    objectives: at most ``front`` trials of the Pareto front, and the default. A study without a
    comparison: the ``top`` best configurations, apart from the default, each on its own.
    """
    params = spec.reference
    found: list[Candidate] = []
    if goals.several:
        for record in spread(front_of(goals, search), front):
            found.append(_found_by(record, record.params, spec, name=f"trial {record.number}"))
    elif not spec.compares:
        able = [r for r in _best_first(goals, search) if not _same(r, params)]
        for record in _different(able, top):
            found.append(
                _found_by(record, configuration(record), spec, name=f"trial {record.number}")
            )
    else:
        able = _best_first(goals, search)
        for choice in spec.choices:
            own = [r for r in able if r.params.get(spec.scientific) == choice]
            for place, record in enumerate(_different(own, top), start=1):
                # The default itself, if it is one after rounding, is trained once.
                same = _same(record, params)
                found.append(
                    _found_by(
                        record,
                        params if same and params else configuration(record),
                        spec,
                        name="" if place == 1 else f"{choice}, trial {record.number}",
                        place=place,
                    )
                )
    if params is None:
        return tuple(found)
    tried = next((r for r in search if _same(r, params) and r.complete), None)
    default = Candidate(
        choice=str(spec.baseline) if spec.compares else "",
        default=True,
        params=params,
        search_trial=tried.number if tried else None,
        search_value=tried.value if tried else None,
        search_values=tried.values if tried else (),
        name="" if spec.compares and not goals.several else "default",
        feasible=all(r.feasible for r in search if _same(r, params)),
    )
    return (*found, default)


def of_choices(chosen: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Yield the candidates of each choice, best search value first, without the default.

    Each configuration of a Pareto front, or of a study without choices, is on its own.
    """
    own: list[Candidate] = []
    for candidate in chosen:
        if candidate.place == 1 and own:
            yield own
            own = []
        if not candidate.default:
            own.append(candidate)
    if own:
        yield own


def _best_first(goals: Goals, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that may be confirmed, best search value first, of equals the earlier."""
    able = [r for r in search if r.complete and r.feasible and r.value is not None]
    return sorted(able, key=lambda r: (-goals.sign * (r.value or 0.0), r.number))


def _different(records: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """Return the first ``most`` records of different configurations."""
    found: dict[str, TrialRecord] = {}
    for record in records:
        found.setdefault(point_of(record.params), record)
        if len(found) == most:
            break
    return list(found.values())


def _found_by(
    record: TrialRecord,
    params: Mapping[str, Any],
    spec: StudySpec,
    name: str = "",
    place: int = 1,
) -> Candidate:
    return Candidate(
        choice=str(record.params.get(spec.scientific)) if spec.compares else "",
        default=False,
        params=params,
        search_trial=record.number,
        search_value=record.value,
        search_values=record.values,
        name=name,
        place=place,
    )


def _same(record: TrialRecord, params: Mapping[str, Any] | None) -> bool:
    return params is not None and point_of(record.params) == point_of(params)
