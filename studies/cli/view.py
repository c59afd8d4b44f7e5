"""The view of a study that runs in the foreground."""

from rich.console import Console

from mnist_core.console.plain_text import counted, safe_lines
from studies.planning.plan import Plan
from studies.report.console import make_console
from studies.report.live import LiveView, PlainView
from studies.report.notebook import NotebookView, in_notebook
from studies.report.progress import Progress
from studies.storage import open


def make_view(
    plan: Plan,
    progress: Progress,
    console: Console,
    estimate: list[str],
    *,
    live: bool,
    plain: bool,
) -> LiveView | PlainView | NotebookView:
    """Return the view that follows the run: of a terminal, a notebook, or plain lines.

    ``estimate``: lines about the time and memory that the study takes.
    """
    place, dashboard = open.shown(plan.storage_url), plan.commands.look("dashboard")
    workers = counted(plan.workers, "worker")
    notebook = in_notebook() and not plain
    if live or notebook:
        console.print(
            *estimate, sep="\n", soft_wrap=True, markup=False, emoji=False, highlight=False
        )
        title = f"{plan.name}  ·  {workers} on {plan.adapter.device}  ·  {place}"
        hint = f"Ctrl-C: finish running trials and stop  ·  {dashboard}"
        # Of its own: what is printed to the other one waits until the view has ended.
        panel = LiveView(progress, make_console(), title=title, hint=hint)
        return NotebookView(panel) if notebook else panel
    lines = (
        f"Study {plan.name}: {plan.spec.goal}",
        f"{workers} x {counted(plan.threads, 'thread')} on {plan.adapter.device},"
        f" {plan.adapter.data_name or plan.spec.label}; {place}",
        f"dashboard: {dashboard}",
        *estimate,
    )
    return PlainView(
        progress, lambda text: print(safe_lines(text), flush=True), hint="\n".join(lines)
    )
