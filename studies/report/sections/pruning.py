"""Pruner audit: what other pruners would have saved and lost."""

import dataclasses
import random

from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from studies.analysis.audit import Audit, audit
from studies.analysis.audit_curves import Curves, read_curves
from studies.analysis.replay import Pruner
from studies.core.words import words
from studies.report.blocks import Material, Section, Table, Text
from studies.report.comparison_tables import percent, percents

AUDITED = 100
"""The audit on the page replays at most this number of curves; ``studies audit`` replays all."""
_DECISIONS = 3000
_DRAWS = (8, 100)


def section(page: Material) -> Section:
    """Return the section."""
    plan = page.found.plan
    if page.quick:
        said = f"Not audited yet; this adds it: {plan.commands.look('report')}"
        return Section("pruning", "Pruner audit", (Text(said),))
    try:
        every = read_curves(plan.location, plan.spec, plan.goals)
    except UserError as error:
        return Section("pruning", "Pruner audit", (Text(f"Not audited: {error}."),))
    curves = _sample(every)
    # A page is written in seconds; `studies audit` takes about a minute.
    size = sum(len(curve.reports) for curve in curves.full)
    draws = min(_DRAWS[1], max(_DRAWS[0], _DECISIONS // size))
    done = audit(Pruner.of(plan), curves, draws=draws)
    noun = words(own=plan.spec.own is not None).trial
    said = (
        f"Pruners replayed on {counted(len(curves.full), 'full curve')} of this study"
        + (f", drawn from {len(every.full)}" if len(curves.full) < len(every.full) else "")
        + f", and on {counted(draws, 'study', 'studies')} put together from them. Saved: fraction"
        f" of the {noun}s' time. Chance: of stopping the trial that is best at its end. Both 95 %"
        " intervals are for another study of such trials."
    )
    texts = [Text(line) for line in (said, *done.warnings)]
    return Section("pruning", "Pruner audit", (*texts, audited(done)))


def audited(done: Audit) -> Table:
    """Return what each pruner would have saved and lost."""
    return Table(
        caption="Other pruners on this study's curves (*: its own)",
        head=("pruner", "saved", "95 %", "best lost", "chance", "95 %"),
        rows=tuple(
            (
                verdict.label + (" *" if verdict.own else ""),
                percent(verdict.saved),
                percents(verdict.saved_range),
                "yes" if verdict.loses else "no",
                percent(verdict.chance),
                percents(verdict.chance_range),
            )
            for verdict in done.verdicts
        ),
        marks=tuple("own" if verdict.own else "" for verdict in done.verdicts),
    )


def _sample(curves: Curves) -> Curves:
    """Return at most ``AUDITED`` curves, in their order, and that fraction of pruned trials."""
    share = AUDITED / max(1, len(curves.full))
    if share >= 1:
        return curves
    chosen = {c.number for c in random.Random(0).sample(curves.full, AUDITED)}
    full = tuple(c for c in curves.full if c.number in chosen or c.exempt)
    return dataclasses.replace(curves, full=full, pruned=round(curves.pruned * share))
