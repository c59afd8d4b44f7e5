"""The verdicts in sentences: of the configurations, of the choices, and against the default."""

from mnist_core.console.plain_text import counted
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import (
    gap_text,
    is_share,
    listed,
    mean_text,
    params_text,
    signed,
    unit,
)
from studies.report.front_table import front_lines
from studies.report.trend_text import trend_lines
from studies.search.enqueued import point_of
from studies.statistics.multiple import Gain

NAMED_GAPS = 3
"""Ties that are named with their difference; further ones are only counted."""


def verdict_lines(result: StudyResult) -> list[str]:
    """Return sentences: the best configuration or the tie, the best choice, and the default."""
    if result.several:
        return [*front_lines(result), *_quick(result)]
    best = result.best_row
    if best is None or best.confirm is None or best.candidate is None:
        return ["Nothing is confirmed yet."]
    missing = [row.label for row in result.rows if row.confirm is None]
    return [
        *configuration_lines(result),
        *_quick(result),
        *choice_lines(result),
        *trend_lines(result),
        *([f"Not confirmed, so not judged: {', '.join(missing)}."] if missing else []),
        *_untuned(result),
        f"Configuration to use: {params_text(best.candidate.params)}",
        *_against_default(result),
    ]


def configuration_lines(result: StudyResult) -> list[str]:
    """Say which confirmed configuration is best; empty before there is one."""
    metric, best = result.plan.spec.metric, result.best_row
    if best is None or best.confirm is None:
        return []
    value = f"{mean_text(metric, best.confirm)} {unit(metric)}".rstrip()
    judged = result.verdicts.judged_on
    seeds = counted(best.confirm.n, "fresh seed") + (f" ({judged})" if judged else "")
    rivals = [row for row in result.rows if row.label in result.ties]
    unclear = [row for row in result.rows if row.label in result.noisy]
    broken = [row for row in result.rows if row.collapsed is not None]
    others = _rivals(result, best)
    lines = []
    if rivals:
        near = [f"{row.label} ({gap_text(metric, row.gap)})" for row in rivals[:NAMED_GAPS]]
        more = len(rivals) - len(near)
        named = listed([*near, *([f"{more} more (see the table)"] if more else [])])
        leads = "has the best mean" if not _is_led(result, best) else "leads as far as can be told"
        lines.append(
            f"Tie: {best.label} {leads}, {value} on {seeds}, but cannot be told apart from {named}."
        )
    elif unclear:
        beaten = others - len(unclear)
        better = f"; better than {beaten} of the {others} others confirmed" if beaten else ""
        lines.append(f"Best as far as can be told: {best.label}, {value} on {seeds}{better}.")
    elif others:
        other = f"each of the {others} others" if others > 1 else "the other one"
        lines.append(f"Best: {best.label}, {value} on {seeds}; better than {other} confirmed.")
    else:
        lines.append(f"Only {best.label} could be confirmed: {value} on {seeds}.")
    if unclear:
        named = ", ".join(f"{row.label} ({mean_text(metric, row.confirm)})" for row in unclear)
        lines.append(
            f"Too noisy to be told apart from it: {named}; more seeds (confirm.seeds) may tell."
        )
    if broken:
        lines.append("; ".join(f"{row.label}: {row.collapsed}" for row in broken) + ".")
    return lines


def _quick(result: StudyResult) -> list[str]:
    """Say that a small run does not answer the study's question."""
    plan = result.plan
    if not plan.small:
        return []
    sizes = [counted(plan.trials, "trial"), counted(plan.confirm_seeds, "seed")]
    if plan.spec.own is None and "epochs" not in plan.spec.space.parameters:
        sizes.append(counted(plan.settings.train.epochs, "epoch"))
    return [
        f"A --quick run only shows that everything works: {listed(sizes)} do not answer the"
        " study's question."
    ]


def _is_led(result: StudyResult, best: Row) -> bool:
    """Return whether a configuration that is too noisy to tell has a better mean than ``best``."""
    sign = result.plan.spec.sign
    means = [row.confirm.mean for row in result.rows if row.label in result.noisy and row.confirm]
    return best.confirm is not None and any(
        sign * mean > sign * best.confirm.mean for mean in means
    )


def choice_lines(result: StudyResult) -> list[str]:
    """Say which choice is best when tuned like this, with the luck of the search in the error."""
    name = result.plan.spec.scientific
    if not name:
        return []
    counts = [row.complete for row in result.rows if row.candidate and not row.candidate.default]
    if len(counts) < 2:
        return []
    fewest, most = min(counts), max(counts)
    tuned = f"best of {fewest}" if fewest == most else f"best of {fewest} to {most}"
    tuned += " trials each" if most > 1 else " trial each"
    found = result.verdicts.choices
    if found is None:
        return [
            f"As tuned here ({tuned}), it is not known which {name} is best: at least two of them"
            " need two finished trials each."
        ]
    compared = found.comparison
    if compared.sole:
        return [
            f"Best {name} as tuned here ({tuned}), the luck of the search included: "
            f"{compared.best}."
        ]
    # The race judges configurations, so with the luck of the search a stopped choice may be best.
    out = [row.label for row in result.rows if row.stopped_after]
    if len(compared.possible) < 2 and out:
        return [
            f"As tuned here ({tuned}), it is not known which {name} is best: the race stopped"
            f" {listed(out)} before the luck of the search could be judged."
        ]
    may = listed(compared.possible, last="or")
    never = f", but not {listed(compared.worse, last='or')}" if compared.worse else ""
    never += f"; the race left {listed(out)} unjudged" if out else ""
    return [
        f"As tuned here ({tuned}), no {name} is shown to be best: after another search the best"
        f" might be {may}{never}."
    ]


def _untuned(result: StudyResult) -> list[str]:
    """Name the choices whose default configuration was not beaten by any trial."""
    spec = result.plan.spec
    if not spec.compares:
        return []
    defaults = {str(one): point_of(spec.default_of(one)) for one in spec.defaults}
    found = [
        row
        for row in result.rows
        if row.candidate
        and not row.candidate.default
        and point_of(row.candidate.params) == defaults.get(row.label)
    ]
    # Without another trial there was nothing that could have been better.
    searched = [row.label for row in found if row.complete + row.pruned > 1]
    alone = [row.label for row in found if row.complete + row.pruned < 2]
    # With confirm.top the default may lead on fresh seeds a trial that was better in the search.
    led = [row.label for row in found if row.label in searched and _had_better(row, spec.sign)]
    lines = []
    if nothing := [label for label in searched if label not in led]:
        lines.append(f"The search found nothing better than the default of {listed(nothing)}.")
    if led:
        lines.append(
            f"On fresh seeds the default of {listed(led)} is ahead of the configuration that was"
            " better in the search."
        )
    if len(alone) > 1 and len(alone) == len(found) == len(spec.choices):
        lines.append("For each choice only the default was tried.")
    elif alone:
        lines.append(f"Only the default was tried for {listed(alone)}.")
    return lines


def _had_better(row: Row, sign: float) -> bool:
    """Return whether a runner-up of ``row`` has a better search value."""
    one, *others = [
        of_row.candidate.search_value if of_row.candidate else None
        for of_row in (row, *row.runners_up)
    ]
    return one is not None and any(v is not None and sign * v > sign * one for v in others)


def _against_default(result: StudyResult) -> list[str]:
    default, gain = result.default_row, result.to_default
    if default is None or default.confirm is None:
        return []
    if gain is None:
        best = result.best_row
        same = best is not None and best.candidate == default.candidate
        return [f"It is the default configuration ({default.label}) itself."] if same else []
    return [f"Against {default.label}: {gain_text(result, gain)}."]


def gain_text(result: StudyResult, gain: Gain) -> str:
    """Write a gain with its one-sided bound: ``+0.35 % (at least +0.12), better``."""
    metric, sign = result.plan.spec.metric, result.plan.spec.sign
    scale, digits = (100, ".2f") if is_share(metric) else (1, ".3g")
    bound = gain.high if gain.worse else gain.low
    least = (sign > 0) != gain.worse
    said = "better" if gain.better else "WORSE" if gain.worse else "not shown to be better"
    value = f"{signed(scale * sign * gain.difference, digits)} {unit(metric)}".rstrip()
    limit = signed(scale * sign * bound, digits)
    return f"{value} ({'at least' if least else 'at most'} {limit}), {said}"


def _rivals(result: StudyResult, best: Row) -> int:
    """Return the number of other configurations that could have won; rows may share one."""
    seen = [best.candidate.params] if best.candidate else []
    for row in result.rows:
        able = row.confirm and row.candidate and row.candidate.feasible
        if able and row.candidate and row.candidate.params not in seen:
            seen.append(row.candidate.params)
    return len(seen) - 1
