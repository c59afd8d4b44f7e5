"""The notes under the final table: what its columns and intervals mean."""

from studies.analysis.racing import ALPHA
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import bare_text, possible
from studies.core.seeds import FIRST_SEEDS
from studies.report.front_table import (
    covered,
    ended_early,
    front_notes,
    judged_on,
    searched_by,
    test_note,
    words_of,
)
from studies.statistics.intervals import CONFIDENCE
from studies.statistics.pooled import COLLAPSE_TIMES


def notes(result: StudyResult) -> list[str]:
    """Return lines that explain the columns and the intervals."""
    cut = ["Intervals are cut at 0 and 100 %."] if _any_cut(result) else []
    return (front_notes(result) if result.several else _notes_of_choices(result)) + cut


def _any_cut(result: StudyResult) -> bool:
    metric = result.plan.spec.metric
    shown = [row.confirm for row in result.rows if row.confirm and row.confirm.n > 1]
    return any(possible(metric, interval) != interval for interval in shown)


def _notes_of_choices(result: StudyResult) -> list[str]:
    compares = result.plan.spec.compares
    return [
        *ended_early(result),
        *([f"This study was {result.forked}."] if result.forked else []),
        *map(str, result.learned),
        *(_searched_of_choices(result) if compares else [_searched(result)]),
        f"confirm: mean over fresh seeds{judged_on(result)}; all {CONFIDENCE:.0%} intervals of the"
        " table hold together",
        "minus best: difference from the best of the others (Hsu 1984, with the error of the seeds"
        f" pooled over all {'choices' if compares else 'configurations'}); an interval that ends at"
        " 0: shown to be worse; with 0 inside: a tie, it may be as good",
        *_standings(result),
        *_raced(result),
        *_followed(result),
        f"{test_note(result)}{_part_of_models(result)}; s: seconds of one {words_of(result).trial}",
        covered(result),
    ]


def _searched_of_choices(result: StudyResult) -> list[str]:
    # The leader on fresh seeds need not be the best of the search.
    followed = any(row.runners_up for row in result.rows)
    value = "value of this configuration" if followed else "best value of the choice"
    return [
        f"trials: complete/pruned/failed in the search; search: {value} there,"
        f" {searched_by(result)}, on one seed",
        "luck: by how much the best value of such a search varies from one search to the next"
        " (standard deviation, bootstrap over the choice's trials)",
    ]


def _standings(result: StudyResult) -> list[str]:
    """Explain the standings that are rare, where a row has them."""
    lines = []
    if result.noisy:
        lines.append(
            "too noisy: its seeds differ far more than those of the others, so it is judged by its"
            " own spread, and that is too wide to tell it from the best"
        )
    if any(row.collapsed for row in result.rows):
        lines.append(
            f"collapsed: on such a seed the {words_of(result).trial} failed: its value is more than"
            f" {COLLAPSE_TIMES} times the usual standard deviation of a seed worse than the best"
            " seed of the same configuration"
        )
    return lines


def _raced(result: StudyResult) -> list[str]:
    if not any(row.stopped_after for row in result.rows):
        return []
    return [
        f"confirm (n): the race stopped it after n of {result.plan.confirm_seeds} seeds, as clearly"
        " worse than the leader; its mean and difference are of these n, and it is not ranked with"
        " the others (paired t tests, corrected for candidates and looks: the best is stopped in at"
        f" most {ALPHA:.0%} of studies)"
    ]


def _followed(result: StudyResult) -> list[str]:
    if not any(row.runners_up for row in result.rows):
        return []
    return [
        "runner-up: another of the choice's best configurations of the search; after the first"
        f" {FIRST_SEEDS} fresh seeds it was behind the choice's leader and got no more; (n): mean"
        " of n seeds; it shows how far the search can mislead, and cannot win"
    ]


def _part_of_models(result: StudyResult) -> str:
    partly = any(map(partly_tested, result.rows))
    return "; test (n): of n of the confirmed models, see the warning" if partly else ""


def _searched(result: StudyResult) -> str:
    """Say what the column search is in a study that compares no choices."""
    said = f"search: {searched_by(result)} of this configuration in the search, on one seed"
    luck = next((row.luck for row in result.rows if row.luck is not None), None)
    if luck is None:
        return said
    return (
        f"{said}; the best value of such a search varies by"
        f" {bare_text(result.plan.spec.metric, luck)} from one search to the next (standard"
        " deviation, bootstrap over the trials)"
    )


def partly_tested(row: Row) -> int | None:
    """Return the number of models with a test value; None: all of the row's models have one."""
    if row.test is None or row.confirm is None or row.test.n == row.confirm.n:
        return None
    return row.test.n
