"""The metric over the parameters: one by one, and all side by side."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search_spaces.space import Choice, Space
from studies.analysis.figure_data.trials import best_first, best_of, complete
from studies.analysis.scales import Scale, Values, names_scale, scale_of
from studies.core.trials import TrialRecord
from studies.spec import StudySpec


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
        scale, place = axis_of(space, names)
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


def axis_of(
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
