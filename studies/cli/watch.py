"""The live view of a study that another process runs, read from its growing event log."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mnist_core.errors import UserError
from studies.cli import options
from studies.core.event_log import FILE, Tail
from studies.core.formatting import metric_text, params_text

if TYPE_CHECKING:  # optuna takes a second to import, and --help does not need it
    from rich.console import Console

    from studies.planning.plan import Plan
    from studies.report.progress import Progress
    from studies.storage.leases import Lease
    from studies.storage.location import StudyLocation

LOOK_SECONDS = 0.25
ASK_SECONDS = 10.0
"""Time between two questions to the storage who runs the study; its process is checked oftener."""


def watch(
    plan: "Plan",
    console: "Console",
    *,
    plain: bool = False,
    runs: Callable[[], bool] | None = None,
    write: Callable[[str], None] | None = None,
) -> None:
    """Show the study until its run ends, or Ctrl-C.

    Raises:
        UserError: if the study is not being run, or its log is not on this machine.
    """
    from studies.report.live import LiveView, PlainView
    from studies.report.progress import progress_of

    runs, write = runs or _Runs(plan.location), write or partial(print, flush=True)
    if not runs():
        raise UserError(
            f"study {plan.name} is not being run; `{plan.commands.look('status')}` says how far it"
            f" is; to resume it: {plan.commands.resume_hint}"
        )
    file = plan.folder / FILE
    if not file.is_file():
        raise UserError(
            f"study {plan.name} is being run, but there is no {file}; watch it on the machine that"
            " runs it"
        )
    tail = Tail(file)
    progress = progress_of(plan.spec)
    for event in tail.read():  # the past
        progress.add(event)
    progress.messages.clear()
    view: LiveView | PlainView
    if plain or not console.is_terminal:
        view = PlainView(progress, write, hint=standing(progress))
    else:
        view = LiveView(
            progress, console, title=plan.name, hint="Ctrl-C: stop watching; the study continues"
        )
    try:
        with view:
            alive = True
            while alive:
                alive = runs()  # asked first, so that the last events are read, too
                for event in tail.read():
                    view(event)
                    alive = alive and event.kind != "result"  # what comes then takes a moment
                if alive:
                    time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        write(f"study {plan.name} continues without you")
        return
    write(standing(progress))
    write(f"the run of study {plan.name} has ended: {plan.commands.look('status')}")


def standing(progress: "Progress") -> str:
    """Return in one line how far the study is."""
    counts = ", ".join(f"{count} {kind}" for kind, count in progress.counts.items() if count)
    said = f"{progress.phase or 'starting'}: {progress.done} of {progress.total} finished"
    said += f" ({counts})" if counts else ""
    said += f"; {len(progress.running)} running" if progress.running else ""
    if progress.best is not None:
        best = progress.best
        value = metric_text(progress.metric, best.value)
        said += f"; best so far {value}, {best.what} {params_text(best.params)}"
    return said


class _Runs:
    def __init__(self, location: "StudyLocation") -> None:
        self._location = location
        self._lease: Lease | None = None
        self._asked = -ASK_SECONDS

    def __call__(self) -> bool:
        from studies.analysis import stored_study

        lease, now = self._lease, time.monotonic()
        if lease is None or not lease.live or now - self._asked >= ASK_SECONDS:
            # One of several that run it together (--join) may have ended: another one has it then.
            self._lease, self._asked = stored_study.supervisor(self._location), now
        return self._lease is not None


@options.on_study(without=["dataset"])
def watch_command(
    chosen: options.Chosen,
    plain: options.PlainOption = False,
) -> None:
    """Show the live view of a study that another process runs, until it ends or Ctrl-C.

    It reads the study's event log and changes nothing.
    """
    plan = chosen.find()
    from studies.report.console import make_console

    watch(plan, make_console(), plain=plain)
