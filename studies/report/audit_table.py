"""What ``python -m studies audit`` prints."""

from mnist_core.counting import counted
from studies.auditing.audit import Audit
from studies.planning.plan import Plan
from studies.report.console import make_console
from studies.report.fitting import fitted


def print_audit(plan: Plan, audit: Audit) -> None:
    """Print the verdicts, how they were found, and what limits them."""
    curves, console = audit.curves, make_console()
    heads = ("pruner", "saved", "saved, drawn", "95 %", "best lost", "chance", "95 %", "given up")
    rows = [
        (
            verdict.label + (" *" if verdict.own else ""),
            _percent(verdict.saved),
            _percent(verdict.mean_saved),
            _range(verdict.saved_range),
            "yes" if verdict.loses else "no",
            _percent(verdict.chance),
            _range(verdict.chance_range),
            f"{verdict.given_up:.4f}",
        )
        for verdict in audit.verdicts
    ]
    console.print(f"{plan.name}: pruners replayed on {counted(len(curves.full), 'full curve')}")
    console.print(fitted(console, heads, rows))
    stopped = len(curves.stopped)
    for line in (
        "* the study's own pruner (as the settings have it now)" if _has_own(audit) else "",
        f"saved, best lost: share of {_seconds(audit):,.0f} s of training, and whether the best"
        " trial is stopped, in the recorded order",
        f"drawn: {counted(audit.draws, 'study', 'studies')} put together from full curves with"
        " replacement, in orders"
        f" drawn anew, {curves.workers} at a time; {len(curves.kept)} kept"
        + (
            f", and {counted(stopped, 'sentinel')} for"
            f" {counted(stopped + curves.pruned, 'trial')} that the study's"
            " pruner stopped"
            if stopped
            else ""
        ),
        "chance: of stopping the trial that is best at its end. Both 95 % are of another study of"
        " such trials; the best ones of one study are few, so it says little about the chance",
        f"given up: {plan.spec.metric} of that trial less that of the best one left, on average",
    ):
        if line:
            console.print(line, markup=False)
    for warning in audit.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _has_own(audit: Audit) -> bool:
    return any(verdict.own for verdict in audit.verdicts)


def _seconds(audit: Audit) -> float:
    return sum(curve.seconds for curve in audit.curves.full)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _range(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.0f}-{100 * ends[1]:.0f}"
