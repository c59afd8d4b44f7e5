"""The numbers of every figure: HTML page, dashboard, W&B and PNG files only draw them."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mnist_core.evaluation.confusion import Confusion
from mnist_core.evaluation.worst_pairs import NAME, WorstPairs
from search_spaces.space import Choice, Space
from studies.analysis.result import Row, StudyResult
from studies.analysis.scales import Point, Scale, Values, names_scale, scale_of
from studies.core.formatting import possible
from studies.core.goals import Goals
from studies.core.trials import TrialRecord, TrialState
from studies.spec import StudySpec
from studies.statistics.intervals import Interval

ALL = "all trials"
"""Name of the one group of trials in a study that compares no choices."""


def complete(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that ran their full budget and have a value."""
    return [r for r in records if r.complete and r.value is not None]


def best_first(records: Iterable[TrialRecord], sign: float) -> list[TrialRecord]:
    """Return trials by value, the best first; those without a value last."""
    return sorted(records, key=lambda r: -sign * r.value if r.value is not None else math.inf)


def best_of(records: Iterable[TrialRecord], sign: float) -> TrialRecord | None:
    """Return the feasible trial with the best value, the first of equals; None: there is none."""
    able = [record for record in records if record.value is not None and record.feasible]
    return best_first(able, sign)[0] if able else None


def by_choice(
    spec: StudySpec, records: Sequence[TrialRecord]
) -> list[tuple[object, list[TrialRecord]]]:
    """Return the records of each choice of the scientific parameter; without one, all trials."""
    if not spec.compares:
        return [(ALL, list(records))]
    return [
        (choice, [r for r in records if r.params.get(spec.scientific) == choice])
        for choice in spec.choices
    ]


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


def some(records: Sequence[TrialRecord], most: int, sign: float) -> list[TrialRecord]:
    """Return at most ``most`` trials: the best ones, and a random sample of the others."""
    if len(records) <= most:
        return list(records)
    ranked, half = best_first(records, sign), most // 2
    # Seeded: the page must not change when it is written again.
    chosen = ranked[:half] + random.Random(0).sample(ranked[half:], most - half)
    return sorted(chosen, key=lambda record: record.number)


def curve(record: TrialRecord, values: Values, most: int) -> list[Point]:
    """Return at most ``most`` points of a trial's curve, evenly along it."""
    points = [
        (float(step), values.of(value))
        for step, value in record.curve.items()
        if math.isfinite(value)
    ]
    if len(points) > most:
        every = (len(points) - 1) / (most - 1)
        points = [points[round(index * every)] for index in range(most)]
    return points


@dataclass(frozen=True)
class Slice:
    """The trials of full budget over one parameter.

    Attributes:
        at: where each record lies on it.
        best: index of the best of them; None: all are infeasible.
    """

    name: str
    scale: Scale
    records: list[TrialRecord]
    at: list[float]
    best: int | None


def slices(spec: StudySpec, search: Sequence[TrialRecord], sign: float) -> list[Slice]:
    """Return the trials over each nuisance parameter that some trial has."""
    found, jitter = [], random.Random(0)
    for name in spec.nuisance:
        parameter = spec.space.parameters[name]
        records = [record for record in complete(search) if name in record.params]
        if not records:
            continue
        if isinstance(parameter, Choice):
            places: dict[object, int] = {c: place for place, c in enumerate(parameter.choices)}
            scale = names_scale(map(str, parameter.choices))
            at = [places[r.params[name]] + jitter.uniform(-0.22, 0.22) for r in records]
        else:
            scale = scale_of([parameter.low, parameter.high], log=parameter.log)
            at = [float(record.params[name]) for record in records]
        best = best_of(records, sign)
        found.append(Slice(name, scale, records, at, records.index(best) if best else None))
    return found


@dataclass(frozen=True)
class Parallel:
    """Trials as lines through their settings.

    Attributes:
        axes: name and scale of each setting, and of the metric.
        read: return a trial's place on each axis; None: it has no such setting.
        best: the best tenth.
        others: a sample of the other trials.
        total: the number of trials of full budget.
        shared: whether parameters of several choices share an axis.
    """

    axes: list[tuple[str, Scale]]
    read: list[Callable[[TrialRecord], float | None]]
    best: list[TrialRecord]
    others: list[TrialRecord]
    total: int
    shared: bool


def parallel(
    space: Space, search: Sequence[TrialRecord], values: Values, *, best: int, others: int
) -> Parallel | None:
    """Return the lines of at most ``best`` and ``others`` trials; None: there are too few."""
    ended = complete(search)
    settings: dict[str, list[str]] = {}
    for name in space.parameters:
        if any(name in record.params for record in ended):
            settings.setdefault(space.setting(name), []).append(name)
    if len(ended) < 2 or not settings:
        return None
    axes, read = [], []
    for setting, names in settings.items():
        scale, place = _axis(space, names)
        axes.append((setting, scale))
        read.append(place)
    ranked = best_first(ended, values.sign)
    tenth = max(1, len(ranked) // 10)
    rest = ranked[tenth:]
    return Parallel(
        axes=[*axes, (values.label, values.scale)],
        read=[*read, lambda record: values.of(record.value or 0.0)],
        best=ranked[: min(best, tenth)],
        others=random.Random(0).sample(rest, others) if len(rest) > others else rest,
        total=len(ended),
        shared=any(len(names) > 1 for names in settings.values()),
    )


def _axis(
    space: Space, names: Sequence[str]
) -> tuple[Scale, Callable[[TrialRecord], float | None]]:
    """Return the axis of parameters that set the same thing, and a trial's place on it."""
    parameters = [space.parameters[name] for name in names]
    listed = [str(c) for one in parameters if isinstance(one, Choice) for c in one.choices]
    numeric = [one for one in parameters if not isinstance(one, Choice)]
    places = {name: float(place) for place, name in enumerate(dict.fromkeys(listed))}

    def place(record: TrialRecord) -> float | None:
        for name in names:
            if name in record.params:
                found = record.params[name]
                if not numeric:
                    return places[str(found)]
                return float(found) if isinstance(found, int | float) else None
        return None

    if not numeric:
        return names_scale(places), place
    ends = [float(end) for one in numeric for end in (one.low, one.high)]
    log = any(one.log for one in numeric) and min(ends) > 0
    return scale_of(ends, log=log), place


@dataclass(frozen=True)
class Front:
    """The metric over one further objective, the objective number ``index``, at full budget.

    Attributes:
        infeasible: trials over a limit.
        beaten: trials that another one beats in all objectives.
    """

    name: str
    index: int
    infeasible: list[TrialRecord]
    beaten: list[TrialRecord]
    best: list[TrialRecord]


def fronts(
    goals: Goals, search: Sequence[TrialRecord], front: Sequence[TrialRecord]
) -> list[Front]:
    """Return a front for each further objective; none before a trial has run its full budget."""
    known = [r for r in search if r.complete and len(r.values) == len(goals.names)]
    numbers = {record.number for record in front}
    return [
        Front(
            name=name,
            index=index,
            infeasible=[r for r in known if not r.feasible],
            beaten=[r for r in known if r.feasible and r.number not in numbers],
            best=[r for r in known if r.number in numbers],
        )
        for index, name in enumerate(goals.names[1:], start=1)
        if known
    ]


def forest(result: StudyResult) -> list[tuple[Row, Interval]]:
    """Return each confirmed row with its interval, cut at what the metric can be."""
    metric = result.plan.spec.metric
    return [(row, possible(metric, row.confirm)) for row in result.rows if row.confirm is not None]


def confirmed_values(confirm: Iterable[TrialRecord]) -> dict[str, list[float]]:
    """Return the values of each confirmed configuration, by its label."""
    groups: dict[str, list[float]] = {}
    for record in complete(confirm):
        groups.setdefault(str(record.attributes.get("label", "")), []).append(record.value or 0.0)
    return groups


SPENT = ("COMPLETE", "PRUNED", "FAIL", "CONFIRM")


def seconds_spent(
    spec: StudySpec, search: Iterable[TrialRecord], confirmed: Iterable[TrialRecord]
) -> dict[str, dict[str, float]]:
    """Return the seconds of training of each choice, by what they went into (``SPENT``)."""
    spent: dict[str, dict[str, float]] = {}
    rows = [(record, record.state) for record in search]
    for record, kind in [*rows, *((record, "CONFIRM") for record in confirmed)]:
        choice = str(record.params.get(spec.scientific)) if spec.compares else ALL
        by = spent.setdefault(choice, dict.fromkeys(SPENT, 0.0))
        if kind in SPENT:
            by[kind] += record.seconds or 0.0
    return spent


def confusion(result: StudyResult) -> Confusion | None:
    """Return the sum of the confusion matrices of the best configuration's trainings."""
    records = result.confirm.get(result.best or "", ())
    found = [r.attributes["confusion"] for r in records if "confusion" in r.attributes]
    found = [matrix for matrix in found if len(matrix) == len(found[0])]
    if not found:
        return None
    names = next((r.class_names for r in records if r.class_names), ())
    return Confusion.of(*found, pairs=result.plan.spec.label == "pairs", names=names)


def worst_pairs(result: StudyResult) -> tuple[WorstPairs, tuple[str, ...]] | None:
    """Return what the best configuration confuses most of many classes, and their names."""
    records = result.confirm.get(result.best or "", ())
    found = [WorstPairs.from_json(r.attributes[NAME]) for r in records if NAME in r.attributes]
    if not found:
        return None
    return WorstPairs.summed(found), next((r.class_names for r in records if r.class_names), ())
