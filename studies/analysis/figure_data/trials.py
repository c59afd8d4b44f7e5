"""Which trials a figure shows, and in which order."""

import math
import random
from collections.abc import Iterable, Sequence

from studies.core.trials import TrialRecord
from studies.spec import StudySpec

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


def some(records: Sequence[TrialRecord], most: int, sign: float) -> list[TrialRecord]:
    """Return at most ``most`` trials: the best ones, and a random sample of the others."""
    if len(records) <= most:
        return list(records)
    ranked, half = best_first(records, sign), most // 2
    # Seeded: the page must not change when it is written again.
    chosen = ranked[:half] + random.Random(0).sample(ranked[half:], most - half)
    return sorted(chosen, key=lambda record: record.number)
