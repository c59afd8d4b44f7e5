"""The trials of the confirmation, on fresh seeds."""

from collections.abc import Iterable

from mnist_core.evaluation.confusion import Confusion
from mnist_core.evaluation.worst_pairs import NAME, WorstPairs
from studies.analysis.figure_data.trials import complete
from studies.analysis.result import Row, StudyResult
from studies.core.attributes import LABEL
from studies.core.formatting import possible
from studies.core.trials import TrialRecord
from studies.statistics.intervals import Interval


def forest(result: StudyResult) -> list[tuple[Row, Interval]]:
    """Return each confirmed row with its interval, cut at what the metric can be."""
    metric = result.plan.spec.metric
    return [(row, possible(metric, row.confirm)) for row in result.rows if row.confirm is not None]


def confirmed_values(confirm: Iterable[TrialRecord]) -> dict[str, list[float]]:
    """Return the values of each confirmed configuration, by its label."""
    groups: dict[str, list[float]] = {}
    for record in complete(confirm):
        groups.setdefault(str(record.attributes.get(LABEL, "")), []).append(record.value or 0.0)
    return groups


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
