"""In which direction a parameter should go: the sign that an importance does not have."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mnist_core.comparison.spread import t_quantile
from search_spaces.space import Choice
from studies.analysis.figure_data import by_choice, complete
from studies.analysis.figure_data.spread import quartiles
from studies.core.trials import TrialRecord
from studies.spec import StudySpec

_ENOUGH = 6
"""With fewer trials no rank correlation is significant."""


@dataclass(frozen=True)
class Tendency:
    """What better trials have in common.

    Attributes:
        sign: 1: larger is better, -1: smaller is better, 0: neither is shown.
        correlation: Spearman's, of the parameter and how good the value is; NaN: not a number.
        choice: of a parameter with choices the one with the best median; "": it is a number.
    """

    sign: int = 0
    correlation: float = math.nan
    choice: str = ""

    @property
    def mark(self) -> str:
        """Return it in one character or word: an arrow, or the best choice."""
        return self.choice or {1: "↑", -1: "↓", 0: "·"}[self.sign]

    @property
    def said(self) -> str:
        """Return it in words."""
        if self.choice:
            return f"best median: {self.choice}"
        if math.isnan(self.correlation):
            return "too few trials for a direction"
        if not self.sign:
            return f"no direction is shown (rank correlation {self.correlation:+.2f})"
        side = "larger" if self.sign > 0 else "smaller"
        return f"{side} is better (rank correlation {self.correlation:+.2f})"


def tendency(spec: StudySpec, search: Sequence[TrialRecord], name: str) -> Tendency:
    """Return the tendency of parameter ``name`` over the trials of full budget that have it."""
    known = [r for r in complete(search) if name in r.params and r.value is not None]
    parameter = spec.space.parameters[name]
    if isinstance(parameter, Choice):
        medians = {}
        for choice in parameter.choices:
            values = [spec.sign * (r.value or 0.0) for r in known if r.params[name] == choice]
            if values:
                medians[str(choice)] = quartiles(values)[1]
        return Tendency(choice=max(medians, key=medians.__getitem__, default=""))
    # Within each choice: a choice that is good with large values would look like a direction.
    ranks = [
        (x, y)
        for _, records in by_choice(spec, known)
        for x, y in _centred(records, name, spec.sign)
    ]
    if len(ranks) < _ENOUGH or len({x for x, _ in ranks}) < 2 or len({y for _, y in ranks}) < 2:
        return Tendency()
    # Ranks within each choice: Pearson's correlation of ranks is Spearman's.
    found = statistics.correlation(*zip(*ranks, strict=True))
    freedom = len(ranks) - 2
    size = abs(found) * math.sqrt(freedom / max(1e-12, 1 - found * found))
    shown = size > t_quantile(freedom)
    return Tendency(sign=int(math.copysign(1, found)) if shown else 0, correlation=found)


def _centred(records: Sequence[TrialRecord], name: str, sign: float) -> list[tuple[float, float]]:
    """Return parameter and goodness of each trial as ranks from -0.5 to 0.5."""
    if len(records) < 2:
        return []
    x = _ranks([float(record.params[name]) for record in records])
    y = _ranks([sign * (record.value or 0.0) for record in records])
    return list(zip(x, y, strict=True))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from -0.5 to 0.5; equal values share their mean rank."""
    ordered = sorted(values)
    places: dict[float, list[int]] = {}
    for place, value in enumerate(ordered):
        places.setdefault(value, []).append(place)
    middle, scale = (len(values) - 1) / 2, len(values)
    return [(statistics.fmean(places[value]) - middle) / scale for value in values]
