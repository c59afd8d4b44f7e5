"""How a confirmed configuration stands, in a sentence: a study's verdict on one of its rows."""

from studies.analysis.result import Row, StudyResult
from studies.analysis.stored_study import Stored
from studies.core.formatting import gap_text, mean_text, unit
from studies.core.trials import TrialRecord
from studies.report.front_table import beaten_by
from studies.report.verdict_text import verdict_lines
from studies.statistics.intervals import Interval, turned


def row_of(result: StudyResult | None, record: TrialRecord, *, confirm: bool) -> Row | None:
    """Return the confirmed row that a trial of the search, or of the confirmation, belongs to."""
    for row in result.shown_rows if result is not None else ():
        if row.confirm is None or row.candidate is None:
            continue
        if not confirm and row.candidate.search_trial == record.number:
            return row
        if confirm and result is not None:
            numbers = [one.number for one in result.confirm.get(row.label, ())]
            if record.number in numbers:
                return row
    return None


def standing_text(result: StudyResult, row: Row) -> str:
    """Return a sentence: how ``row``, which is confirmed, compares with the best one."""
    mean, best = on_seeds(result, row), result.best_row
    if result.several:
        by = beaten_by(result, row)
        place = f"Beaten in all objectives by {by}" if by else "On the Pareto front"
        return f"{place}: {row.label}, {mean}."
    if best is None:
        return f"Confirmed: {row.label}, {mean}."
    match result.standing(row):
        case "best":
            rivals = [*result.ties, *result.noisy]
            place = f"Best mean, not told apart from {', '.join(rivals)}" if rivals else "Best"
        case "the same":
            place = f"The best configuration itself, {best.label}"
        case "tie":
            place = f"May be as good as the best, {best.label} ({_gap(result, row.gap)})"
        case "too noisy":
            place = f"Too noisy to tell from the best, {best.label} ({_gap(result, row.gap)})"
        case "worse":
            place = f"Worse than the best, {best.label}, by {_loss(result, row.gap)}"
        case "collapsed":
            place = f"Not ranked, as {row.collapsed}; the best is {best.label}"
        case _:
            place = f"Another configuration of its choice leads it; the best is {best.label}"
    return f"{place}: {row.label}, {mean}."


def study_text(stored: Stored) -> str:
    """Return the first sentence of a study's verdict."""
    result = stored.result
    if result is None or not any(row.confirm for row in result.rows):
        return "No verdict yet: nothing is confirmed."
    return f"{so_far(stored)}{verdict_lines(result)[0]}"


def so_far(stored: Stored) -> str:
    """Return what a verdict begins with that may still change; "" after the confirmation."""
    return "So far: " if stored.phase in ("search", "confirm") else ""


def on_seeds(result: StudyResult, row: Row) -> str:
    """Return the mean of a row with its interval, and the number of seeds."""
    metric, judged = result.plan.spec.metric, result.verdicts.judged_on
    n = row.confirm.n if row.confirm else 0
    said = f"{mean_text(metric, row.confirm)} {unit(metric)}".rstrip()
    images = f" ({judged})" if judged else ""
    return f"{said} on {n} fresh seed{'s' if n != 1 else ''}{images}"


def _gap(result: StudyResult, gap: Interval | None) -> str:
    metric = result.plan.spec.metric
    return f"{gap_text(metric, gap)} {unit(metric)}".rstrip()


def _loss(result: StudyResult, gap: Interval | None) -> str:
    """Write how much a row is worse: its distance from the best one, without a sign."""
    if gap is None:
        return "an unknown amount"
    return _gap(result, turned(gap, -result.plan.goals.sign)).replace("+", "")
