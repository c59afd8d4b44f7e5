"""Where the time of a study went."""

from collections.abc import Iterable

from studies.analysis.figure_data.trials import ALL
from studies.core.trials import TrialRecord
from studies.spec import StudySpec

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
