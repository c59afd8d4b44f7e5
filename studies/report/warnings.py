"""Warnings about a result, a line each, for the table and ``report.md``."""

from collections.abc import Iterator, Mapping
from typing import Any

from mnist_core.console.plain_text import counted
from studies.analysis.result import StudyResult
from studies.core.formatting import metric_text
from studies.core.statistics import NOISY_TIMES
from studies.planning.next_commands import look_command, run_command

ENOUGH_SEEDS = 3
"""With fewer confirm seeds nothing should be claimed."""


def warnings(result: StudyResult) -> list[str]:
    """Return what weakens the comparison: bounds, missing trials, failures, readings."""
    plan = result.plan
    # What was promised may not fit into the trials: the choices then share what there is.
    asked = plan.settings.search.trials_per_choice
    promised = plan.spec.trials_per_choice if asked is None else asked
    choices = [row for row in result.rows if not (row.candidate and row.candidate.default)]
    if result.several:  # its rows are trials, not choices
        choices = []
    trials = {row.label: row.complete + row.pruned + row.failed for row in choices}
    found = []
    bounds = dict.fromkeys(named for row in choices for named in row.on_bound)
    if bounds:
        found.append(
            f"best values on a bound of the space: {', '.join(bounds)}; widen it and search again"
        )
    found += [*_of_seeds(result), *_of_pruner(result)]
    few = [f"{label} {count}" for label, count in trials.items() if count < promised]
    if few:
        found.append(
            f"fewer than the {promised} trials promised, so under-tuned: {', '.join(few)}"
            f" (of {plan.trials} in all; raise --trials)"
        )
    seen: list[Mapping[str, Any]] = []
    for row in result.rows:
        if row.candidate and row.candidate.params in seen:
            continue  # the same trainings under another label
        seen += [row.candidate.params] if row.candidate else []
        if row.candidate is None and trials[row.label]:
            found.append(
                f"{row.label}: none of its {counted(trials[row.label], 'trial')} ran its full"
                " budget"
            )
        # An interval of no width claims certainty; it only shows that the metric is too coarse.
        if row.confirm and row.confirm.n > 1 and row.confirm.half_width == 0:
            found.append(
                f"{row.label}: all seeds gave the same value, so its interval says nothing"
            )
        if row is result.best_row and row.label in result.noisy:
            found.append(
                f"{row.label}: its seeds differ more than {NOISY_TIMES} times as much as is usual"
                " here; raise confirm.seeds"
            )
        # Seconds vary: a trial may keep a limit that the trainings on other seeds do not.
        over = [record for record in result.confirm.get(row.label, ()) if not record.feasible]
        if over and row.candidate and row.candidate.feasible:
            found.append(
                f"{row.label}: its search trial kept the constraints, but {len(over)} of its"
                f" {len(result.confirm[row.label])} confirm trainings exceed them"
                f" ({plan.goals.over(over[0].metrics)})"
            )
        if row.candidate and not row.candidate.feasible:
            found.append(f"{row.label}: it exceeds the constraints, so it cannot win")
        elif row.confirm_failed:
            found.append(f"{row.label}: {counted(row.confirm_failed, 'confirm training')} failed")
        elif row.confirm and row.confirm.n < plan.confirm_seeds and not row.stopped_after:
            found.append(
                f"{row.label}: {row.confirm.n} of {plan.confirm_seeds} confirm seeds have a value"
            )
    if plan.confirm_seeds < ENOUGH_SEEDS:
        found.append(
            f"{plan.confirm_seeds} confirm seeds are too few for a claim;"
            f" use {ENOUGH_SEEDS} or more"
        )
    # Each further reading is a chance to choose by the test set, so all are counted.
    read = len(result.test.times)
    if read > 1 or result.test.outside:
        found.append(
            f"the test set was read {counted(read, 'time')}: {'; '.join(result.test.why_again())}"
        )
    if result.test.uncertain:
        found.append(
            "the test set may have been read before, by"
            f" {', '.join(result.test.uncertain)}, whose database is damaged or gone"
        )
    if result.untested:
        has = "has" if result.untested == 1 else "have"
        models = f"{counted(result.untested, 'confirmed model')} {has}"
        found.append(
            f"{models} no test value, as the test set was read before"
            f" ({result.test.times[-1]}) and is read once; --read-test-again reads it again, which"
            " is recorded"
        )
    if result.failures:
        reason, count = result.failures[0]
        total = sum(number for _, number in result.failures)
        found.append(
            f"{counted(total, 'search trial')} failed; most often ({count}): {reason};"
            f" `{look_command('status', plan, '--failures')}` says why,"
            f" `{run_command(plan, '--retry-failed')}` runs them again"
        )
    return found


def _of_seeds(result: StudyResult) -> Iterator[str]:
    spread, metric = result.seed_spread, result.plan.spec.metric
    if spread is None or not spread.dominates:
        return
    yield (
        "seeds dominate parameters: one configuration varies by"
        f" {metric_text(metric, spread.seeds)} over the confirm seeds (sd), the configurations of"
        f" the search by {metric_text(metric, spread.configurations)} (without the seeds' part); so"
        " the search ranked luck: train longer, or compare things that differ more"
    )


def _of_pruner(result: StudyResult) -> Iterator[str]:
    found, best = result.pruner_stops_winner, result.best
    if found is None:
        return
    if found.sentinel_step is not None:
        yield (
            f"the {found.pruner} pruner would have stopped the winner, {best}, at step"
            f" {found.sentinel_step} of its search trial, which was let run as a sentinel"
        )
    if found.stopped:
        yield (
            f"the {found.pruner} pruner would have stopped {found.stopped} of the {found.of}"
            f" confirm trainings of the winner, {best}, had they been trials at the search's end:"
            " it may have stopped others as good;"
            f" `{look_command('audit', result.plan)}` says more, search.sentinels makes sure"
        )
