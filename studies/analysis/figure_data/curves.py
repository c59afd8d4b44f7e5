"""What trials reported on the way."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from studies.analysis.figure_data.spread import quartiles
from studies.analysis.figure_data.trials import ALL
from studies.analysis.scales import Point, Values
from studies.core.event_log import Tail
from studies.core.trials import TrialRecord
from studies.spec import StudySpec

LOSSES = ("val_loss", "train_loss")
"""Losses that the trainer reports, the one that is drawn first."""
_LARGEST = 200_000_000
"""Bytes of a log that is read for the losses; a larger one takes more seconds than it is worth."""


def curve(record: TrialRecord, values: Values, most: int) -> list[Point]:
    """Return at most ``most`` points of a trial's curve, evenly along it."""
    points = [
        (float(step), values.of(value))
        for step, value in record.curve.items()
        if math.isfinite(value)
    ]
    return thinned(points, most)


def thinned(points: list[Point], most: int) -> list[Point]:
    """Return at most ``most`` >= 2 points, evenly along a line, its ends among them."""
    if len(points) <= most:
        return points
    every = (len(points) - 1) / (most - 1)
    return [points[round(index * every)] for index in range(most)]


@dataclass(frozen=True, kw_only=True)
class Band:
    """The curves of one choice's trials: at each step the mean, and where the middle half lies."""

    choice: str
    trials: int
    mean: list[Point]
    low: list[Point]
    high: list[Point]


Curves = Mapping[int, Mapping[int, float]]
"""For each trial, by its number, what it reported at each step."""


def bands(spec: StudySpec, records: Iterable[TrialRecord], curves: Curves) -> list[Band]:
    """Return the band of each choice, of its trials of full budget; without choices one of all."""
    groups: dict[str, list[Mapping[int, float]]] = defaultdict(list)
    for record in records:
        if record.complete and curves.get(record.number):
            choice = str(record.params.get(spec.scientific)) if spec.compares else ALL
            groups[choice].append(curves[record.number])
    order = list(map(str, spec.choices)) if spec.compares else list(groups)
    return [_band(choice, groups[choice]) for choice in order if choice in groups]


def _band(choice: str, curves: Sequence[Mapping[int, float]]) -> Band:
    by_step: dict[int, list[float]] = defaultdict(list)
    for one in curves:
        for step, value in one.items():
            if math.isfinite(value):
                by_step[step].append(value)
    # A step that few trials have reported would bend the mean.
    steps = [step for step in sorted(by_step) if 2 * len(by_step[step]) > len(curves)]

    spread = [(float(step), quartiles(by_step[step])) for step in steps]
    return Band(
        choice=choice,
        trials=len(curves),
        mean=[(float(step), fmean(by_step[step])) for step in steps],
        low=[(step, of[0]) for step, of in spread],
        high=[(step, of[2]) for step, of in spread],
    )


def losses(log: Path) -> dict[str, dict[int, dict[int, float]]]:
    """Return the losses that search trials reported, by name, trial and step, from the event log.

    The database keeps the study's metric only. Without a log, or with one that cannot be read,
    nothing is returned.
    """
    found: dict[str, dict[int, dict[int, float]]] = {name: {} for name in LOSSES}
    try:
        if log.stat().st_size > _LARGEST:
            return {}
        for event in Tail(log).read():
            if event.kind != "report" or event.phase != "search" or event.trial is None:
                continue
            step, metrics = event.data.get("step"), event.data.get("metrics")
            if not isinstance(step, int) or not isinstance(metrics, Mapping):
                continue
            for name in LOSSES:
                value = metrics.get(name)
                if isinstance(value, int | float) and math.isfinite(value):
                    found[name].setdefault(event.trial, {})[step] = float(value)
    except OSError:
        return {}
    return {name: curves for name, curves in found.items() if curves}
