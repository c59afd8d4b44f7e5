"""The table of a Pareto front and the sentences under it, for a study with several objectives."""

from mnist_core.console.plain_text import are, counted
from studies.analysis.pareto import dominates
from studies.analysis.result import Row, StudyResult, means
from studies.core.formatting import bare_text, gap_text, mean_text, params_text, unit
from studies.core.words import Words, words
from studies.statistics.intervals import CONFIDENCE


def front_headings(result: StudyResult) -> tuple[str, ...]:
    """Return the heads of the columns."""
    further = result.plan.goals.names[1:]
    return ("trial", "search", "confirm", *further, "minus default", "front", "test", "s")


def front_cells(result: StudyResult, row: Row) -> tuple[str, ...]:
    """Return the cells of one row, as text: see ``front_headings`` and ``front_notes``."""
    metric = result.plan.spec.metric
    found = row.candidate.search_values if row.candidate else ()
    measured = means(result, row) or found
    default = result.default_row
    gap = "-"
    if row is default or _alike(row, default):
        gap = "default"
    elif default is not None and row.gap_to_default is not None:
        gap = gap_text(metric, row.gap_to_default)
    return (
        row.label,
        bare_text(metric, found[0] if found else None),
        mean_text(metric, row.confirm),
        *(
            cost_text(value)
            for value in (measured[1:] or ["-"] * (len(result.plan.goals.names) - 1))
        ),
        gap,
        beaten_by(result, row) or "yes",
        bare_text(metric, row.test.mean if row.test else None),
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    )


def front_lines(result: StudyResult) -> list[str]:
    """Return sentences about the front, and name its configurations."""
    goals, metric = result.plan.goals, result.plan.spec.metric
    rows = [row for row in result.rows if row.confirm is not None and means(result, row)]
    if not rows:
        return ["Nothing is confirmed yet, so there is no front."]
    default = result.default_row
    same = [row for row in rows if row is not default and _alike(row, default)]
    if same and default in rows:  # the default is on the front: one configuration, trained once
        rows.remove(default)
    # The search's front is of lucky seeds: means over fresh seeds may beat one another.
    kept = [row for row in rows if not beaten_by(result, row)]
    n = rows[0].confirm.n if rows[0].confirm else 0
    lines = [
        f"Pareto front ({', '.join(goals.names)}): {len(result.front)} of the search's trials;"
        f" of {counted(len(rows), 'configuration')} on {counted(n, 'fresh seed')} {len(kept)}"
        f" {are(len(kept))} still not beaten in all objectives by another one."
    ]
    for row in kept:
        values = means(result, row)
        costs = ", ".join(
            f"{cost_text(value)} {name}"
            for name, value in zip(goals.names[1:], values[1:], strict=True)
        )
        said = f"{mean_text(metric, row.confirm)} {unit(metric)}".rstrip()
        params = params_text(row.candidate.params) if row.candidate else ""
        label = f"{row.label} (the default)" if row in same else row.label
        lines.append(f"{label}: {said}, {costs}: {params}")
    others = [record for record in result.front if record.number not in _chosen(result)]
    if others:
        said = "; ".join(
            f"trial {record.number}: {bare_text(metric, record.value)}, "
            + ", ".join(map(cost_text, record.values[1:]))
            for record in others
        )
        lines.append(f"Also on the search's front, not confirmed: {said}.")
    best = result.best_row
    if best is not None:
        held = f"Best in {metric}: {best.label}; best_config.toml holds it."
        lines.append(held + _another(result))
    return lines


def _another(result: StudyResult) -> str:
    """Return how another configuration of the front is exported; "": there is none."""
    best = result.best_row
    kept = {best.candidate.search_trial} if best is not None and best.candidate else set()
    others = [record.number for record in result.front if record.number not in kept]
    if not others:
        return ""
    command = result.plan.commands.look("export", "--trial", others[0])
    return f" Another one of the front: {command}"


def front_notes(result: StudyResult) -> list[str]:
    """Return lines that explain the columns and the intervals."""
    goals, spec = result.plan.goals, result.plan.spec
    default = f" (default: that of {spec.scientific} {spec.baseline})" if spec.compares else ""
    found = [
        *ended_early(result),
        f"trial: of the search{default}; search:"
        f" {searched_by(result)} there; confirm: mean over fresh seeds{judged_on(result)}, with"
        f" {CONFIDENCE:.0%} intervals that all hold together;"
        f" {', '.join(goals.names[1:])}: mean there",
        f"minus default: {result.judged_metric}, {CONFIDENCE:.0%} intervals that all hold together,"
        " with the error of the seeds pooled over all configurations;"
        " front: yes, or who is as good in every objective and better in one, by the means",
        f"{test_note(result)}; s: seconds a {words_of(result).trial} with all that is around it",
        covered(result),
    ]
    chosen = sum(record.number in _chosen(result) for record in result.front)
    if len(result.front) > chosen:
        part = (
            f"{chosen} of {counted(len(result.front), 'trial')} on the front were to be confirmed"
        )
        found.insert(
            -1, f"{part}: evenly along {goals.metric}, its ends among them (confirm.front)"
        )
    return found


def ended_early(result: StudyResult) -> list[str]:
    """Return the line that says why the search ended before its last trial, if it did."""
    early = str(result.stopped) if result.stopped else ""
    return [f"{early[:1].upper()}{early[1:]}."] if early else []


def searched_by(result: StudyResult) -> str:
    """Say what trials of the search are judged by: the metric, and where it is measured."""
    spec = result.plan.spec
    images = spec.own is None and spec.metric.startswith("val_")
    return f"{spec.metric} (validation images)" if images else spec.metric


def judged_on(result: StudyResult) -> str:
    """Say on which images confirmed models were judged: `` on the 5,000 confirm images``."""
    found = result.verdicts.judged_on
    return f" on the {found}" if found else ""


def reading_text(result: StudyResult) -> str:
    """Return how often the test set was read, in words."""
    if result.test.times:
        times = len(result.test.times)
        return "read once" if times == 1 else f"read {times} times"
    return "no test set" if result.test.absent else "not read yet"


def words_of(result: StudyResult) -> Words:
    """Return what the study's trials are called."""
    return words(own=result.plan.spec.own is not None)


def has_no_test(result: StudyResult) -> bool:
    """Whether nothing was or will be tested, as the user's own objective has no ``test``."""
    own = result.plan.spec.own
    return own is not None and not result.test.seen and (result.test.absent or not own.tests)


def test_note(result: StudyResult) -> str:
    """Say what the column test is."""
    said = words_of(result)
    if has_no_test(result):
        return "test: the objective has none"
    return f"test: mean of {said.models} {said.tested} ({reading_text(result)})"


def covered(result: StudyResult) -> str:
    """Return what the intervals cover, as a sentence."""
    if result.verdicts.images:
        return "The intervals cover the randomness of training and the choice of the images."
    return words_of(result).covered


def beaten_by(result: StudyResult, row: Row) -> str:
    """Return the label of a configuration that dominates ``row`` by its means; "": none does."""
    signs, own = result.plan.goals.signs, means(result, row)
    if row.candidate is not None and not row.candidate.feasible:
        return "infeasible"
    if not own:
        return "-"
    for other in result.rows:
        values = means(result, other)
        able = other.candidate is not None and other.candidate.feasible
        # A configuration that failed on some seeds may have been lucky on the others.
        able = able and other.confirm_failed <= row.confirm_failed
        if able and values and dominates(values, own, signs):
            return other.label
    return ""


def _alike(row: Row, other: Row | None) -> bool:
    one, two = row.candidate, other.candidate if other else None
    return one is not None and two is not None and one.params == two.params


def cost_text(value: float | str) -> str:
    """Write what a trial costs: ``120,034``, ``3.21``."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _chosen(result: StudyResult) -> set[int | None]:
    rows = [row.candidate for row in result.rows if row.candidate is not None]
    return {candidate.search_trial for candidate in rows}
