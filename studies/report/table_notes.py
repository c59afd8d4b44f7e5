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


def notes(result: StudyResult) -> list[str]:
    """Return lines that explain the columns and the intervals."""
    cut = ["Intervals are cut at 0 and 100 %."] if _any_cut(result) else []
    return (front_notes(result) if result.several else _notes_of_choices(result)) + cut


def _any_cut(result: StudyResult) -> bool:
    metric = result.plan.spec.metric
    shown = [row.confirm for row in result.rows if row.confirm and row.confirm.n > 1]
    return any(possible(metric, interval) != interval for interval in shown)


def _notes_of_choices(result: StudyResult) -> list[str]:
    raced = any(row.stopped_after for row in result.rows)
    followed = any(row.runners_up for row in result.rows)
    partly = any(map(partly_tested, result.rows))
    compares = result.plan.spec.compares
    return [
        *ended_early(result),
        *([f"This study was {result.forked}."] if result.forked else []),
        *map(str, result.learned),
        *([_searched(result)] if not compares else []),
        *([_searched_of_choices(result, followed=followed)] if compares else []),
        f"confirm: mean of the fresh seeds{judged_on(result)}, with {CONFIDENCE:.0%} intervals"
        f" that all hold together; {test_note(result)}; s: seconds a {words_of(result).trial}",
        "minus best: against the best of the others (Hsu 1984), with the error of the seeds pooled"
        f" over all {'choices' if compares else 'configurations'}; an end at 0 means: shown to be"
        " worse; a tie: may be as good; too noisy: may be as good only because its seeds differ so"
        " much; collapsed: a seed far worse than the best of its configuration",
        *(
            [
                f"confirm (n): stopped by the race after n of {result.plan.confirm_seeds} seeds, as"
                " clearly worse than the leader; its mean and difference are of these n, and it is"
                " not ranked with the others (paired t tests, corrected for candidates and looks:"
                f" the best is stopped in {ALPHA:.0%} of studies at most)"
            ]
            if raced
            else []
        ),
        *(
            [
                "runner-up: one of the choice's best configurations in the search that another one"
                f" leads by the mean {searched_by(result)} on the first {FIRST_SEEDS} fresh seeds;"
                " only the leader got the other seeds; (n): mean of n seeds; a runner-up tells of"
                " the luck of the search, and cannot win"
            ]
            if followed
            else []
        ),
        *(["test (n): of n of the confirmed models, see the warning"] if partly else []),
        covered(result),
    ]


def _searched_of_choices(result: StudyResult, *, followed: bool) -> str:
    by = searched_by(result)
    # The leader on fresh seeds need not be the best of the search.
    search, which = (
        (f"{by} of this configuration", "the best one")
        if followed
        else (
            f"best {by}",
            "it",
        )
    )
    return (
        f"trials: complete/pruned/failed in the search; search: {search} there; luck: how far"
        f" {which} would move, were as many trials drawn again (standard deviation, bootstrap)"
    )


def _searched(result: StudyResult) -> str:
    """Say what the column search is in a study that compares no choices."""
    said = f"search: {searched_by(result)} of this configuration in the search, on one seed"
    luck = next((row.luck for row in result.rows if row.luck is not None), None)
    if luck is None:
        return said
    return (
        f"{said}; the best one there would move by {bare_text(result.plan.spec.metric, luck)}, were"
        " as many trials drawn again (standard deviation, bootstrap)"
    )


def partly_tested(row: Row) -> int | None:
    """Return the number of models with a test value; None: all of the row's models have one."""
    if row.test is None or row.confirm is None or row.test.n == row.confirm.n:
        return None
    return row.test.n
