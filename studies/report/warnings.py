"""Warnings about a result, a line each, for the table and ``report.md``."""

from collections.abc import Iterator, Mapping
from typing import Any

from mnist_core.console.plain_text import counted
from studies.analysis.result import StudyResult
from studies.core.formatting import metric_text
from studies.report.front_table import words_of
from studies.search.pruners import PRUNERS

ENOUGH_SEEDS = 3
"""With fewer confirm seeds nothing should be claimed."""


def warnings(result: StudyResult) -> list[str]:
    """Return what weakens the comparison: bounds, missing trials, failures, readings."""
    plan = result.plan
    # What was promised may not fit into the trials: the choices then share what there is.
    asked = plan.settings.search.trials_per_choice
    promised = plan.spec.promised if asked is None else asked
    choices = [row for row in result.rows if not (row.candidate and row.candidate.default)]
    if result.several:  # its rows are trials, not choices
        choices = []
    trials = {row.label: row.complete + row.pruned + row.failed for row in choices}
    found = []
    # Of the others a bound changes nothing: 76 % of studies warned, half of them by chance.
    leading = [
        row
        for row in choices
        if result.best is None or result.standing(row) in ("best", "the same", "tie")
    ]
    bounds = [f"{row.label}: {', '.join(row.on_bound)}" for row in leading if row.on_bound]
    if bounds:
        found.append(
            f"best values on a bound of the space: {'; '.join(bounds)}; widen it and search again"
        )
    found += [*_of_seeds(result), *_of_pruner(result)]
    few = [f"{label} {count}" for label, count in trials.items() if count < promised]
    # The verdict of a small run says that its trials are too few.
    if few and plan.spec.compares and not plan.small:
        least = counted(promised, "trial")
        found.append(
            f"fewer than the {least} promised, so under-tuned: {', '.join(few)}"
            f" (of {plan.trials} in all; raise --trials)"
        )
    called = words_of(result)
    seen: list[Mapping[str, Any]] = []
    same: list[str] = []
    for row in result.rows:
        if row.candidate and row.candidate.params in seen:
            continue  # the same trainings under another label
        seen += [row.candidate.params] if row.candidate else []
        if row.candidate is None and trials[row.label]:
            found.append(
                f"{row.label}: none of its {counted(trials[row.label], 'trial')} ran its full"
                " budget"
            )
        if row.confirm and row.confirm.n > 1 and row.confirm.half_width == 0:
            same.append(row.label)
        if row.collapsed is not None:
            found.append(
                f"{row.label}: {row.collapsed}, so it is not ranked; its mean is of the other seeds"
            )
        # Seconds vary: a trial may keep a limit that the trainings on other seeds do not.
        over = [record for record in result.confirm.get(row.label, ()) if not record.feasible]
        if over and row.candidate and row.candidate.feasible:
            found.append(
                f"{row.label}: its search trial kept the constraints, but {len(over)} of its"
                f" {len(result.confirm[row.label])} confirm {called.trial}s exceed them"
                f" ({plan.goals.over(over[0].metrics)})"
            )
        if row.candidate and not row.candidate.feasible:
            found.append(f"{row.label}: it exceeds the constraints, so it cannot win")
        elif row.confirm_failed:
            found.append(
                f"{row.label}: {counted(row.confirm_failed, f'confirm {called.trial}')} failed"
            )
        elif row.confirm and len(row.values) < plan.confirm_seeds and not row.stopped_after:
            found.append(
                f"{row.label}: {len(row.values)} of {plan.confirm_seeds} confirm seeds have a value"
            )
        for one in row.runners_up:
            if one.confirm_failed:
                failed = counted(one.confirm_failed, f"confirm {called.trial}")
                found.append(f"{one.label}: {failed} failed")
    if same:
        # An interval of no width claims certainty; it only shows that the metric is too coarse.
        its = "its interval says" if len(same) == 1 else "their intervals say"
        found.append(f"{', '.join(same)}: all seeds gave the same value, so {its} nothing")
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
            f" `{plan.commands.look('status', '--failures')}` says why,"
            f" `{plan.commands.run('--retry-failed')}` runs them again"
        )
    return found


def _of_seeds(result: StudyResult) -> Iterator[str]:
    spread, metric = result.seed_spread, result.plan.spec.metric
    if spread is None or not spread.dominates:
        return
    yield (
        "seeds decide more than configurations: one configuration varies by"
        f" {metric_text(metric, spread.seeds)} over the confirm seeds (sd), the confirmed means by"
        f" {metric_text(metric, spread.configurations)} (without the seeds' part); so the search"
        " ranked luck: train longer, or compare things that differ more"
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
        did = "left paused" if PRUNERS[found.pruner].pauses else "stopped"
        yield (
            f"the {found.pruner} pruner would have {did} {found.stopped} of the {found.of}"
            f" confirm {words_of(result).trial}s of the winner, {best}, had they been its search"
            f" trial: it may have {did} others as good;"
            f" `{result.plan.commands.look('audit')}` says more, search.sentinels makes sure"
        )
