"""A study in the foreground: its view, Ctrl-C, its result on the screen and in files."""

import dataclasses
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Unpack

from rich.console import Console

from mnist_core.console.plain_text import counted, safe_lines
from mnist_core.errors import CtrlC, UserError
from mnist_core.files import check_writable, from_here, write_atomically
from objectives.own import Command
from studies import catalog, engines, tracking
from studies.analysis import stored_study
from studies.analysis.export import write_best_config
from studies.analysis.foresight import power_lines
from studies.analysis.result import StudyResult
from studies.cli import options
from studies.cli.first_failure import FirstTraceback
from studies.cli.slow_reports import SlowReports
from studies.cli.view import make_view
from studies.core.events import Listener
from studies.core.json_text import json_text
from studies.engines.base import Engine
from studies.ledger.opening import check_search
from studies.planning.next_commands import again_command, train_command
from studies.planning.plan import Plan
from studies.protocol import fork as forking
from studies.protocol import preflight
from studies.protocol.control import ConfirmedElsewhere, Control, StudyInterrupted
from studies.protocol.fresh_start import start_fresh
from studies.protocol.phases import RunOptions, run_study
from studies.report.console import drop_output, make_console
from studies.report.notebook import in_notebook
from studies.report.progress import Progress, progress_of
from studies.report.result_json import FILE as RESULT
from studies.report.result_json import result_json
from studies.report.snapshot import Snapshot, save_picture
from studies.report.table import markdown, print_result, result_event
from studies.search import stopping
from studies.storage import open
from studies.storage.membership import check_joinable
from studies.tracking.recording import Recording

INTERRUPTED = 130
PAGE_TRIALS = 2000
"""With more trials a run leaves the page to ``studies report``: it takes more than a second."""


def run(
    plan: Plan,
    engine: Engine,
    *,
    fresh: bool = False,
    plain: bool = False,
    fork: str | None = None,
    save_svg: Path | None = None,
    arguments: Sequence[str] = (),
    **run_options: Unpack[RunOptions],
) -> int:
    """Run ``plan``'s study, print and save its result; return the exit code, 130 if interrupted.

    Args:
        plan: the study's.
        engine: where trials run; started.
        fresh: move the old study aside first.
        plain: print lines instead of the live view.
        fork: run the fork of this name ("": the next number) with these settings; None: no fork.
        save_svg: save a picture of the view and the result here.
        arguments: the command line, repeated in the line that says how to resume.
        run_options: see ``RunOptions``.

    Raises:
        UserError: see ``run_study``.
    """
    options.quiet_optuna()
    console = make_console()
    control = Control(engine)
    progress, seen = progress_of(plan.spec), progress_of(plan.spec)
    snapshot = Snapshot(seen, title=plan.commands.run()) if save_svg else None
    live = console.is_terminal and not plain
    try:
        # Everything that can be refused is refused before the data are loaded and workers asked.
        check_search(plan)
        stopping.check(plan.settings.search.stop, plan.spec.space)
        open.check_url(plan.storage_url)
        if run_options.get("join"):
            check_joinable(plan.storage_url)
        tracking.chosen(plan.settings.tracking)
        check_writable(plan.folder, "results.folder")
        if save_svg is not None:
            check_writable(save_svg.parent, "--save-svg")
            if save_svg.is_dir():
                raise UserError(f"--save-svg: {save_svg} is a folder; name a file")
        estimate: list[str] = []
        plan = with_data(plan, engine, say=estimate.append)
        if fork is None:
            forking.check_made(plan.commands)
        else:
            plan = forking.fork(plan, fork, say=_say)
        if fresh:
            start_fresh(plan, say=_say)
        estimate += power_lines(plan)
        view = make_view(plan, progress, console, estimate, live=live, plain=plain)
        note = progress.messages.append if live else _say
        with Recording(plan, note, _teller(console)) as recording:
            tell = _above if live else _say
            by_command = plan.spec.own is not None and isinstance(plan.spec.own.place, Command)
            slow = SlowReports(tell, by_command=by_command)
            listeners: list[Listener] = [recording, view, FirstTraceback(tell), slow]
            listeners += [] if snapshot is None else [snapshot]
            with _signals(control, progress, live=live), view:
                result = run_study(plan, control, listeners=listeners, **run_options)
            # Files first: the terminal may be closed.
            finish(result, console)
            recording.conclude(result, result_event(result))
    except ConfirmedElsewhere:
        _say(
            f"the search of {plan.name} has finished; another supervisor confirms its winners and"
            f" reads the test set, so this one has ended: {plan.commands.look('status')}"
        )
        return 0
    except (StudyInterrupted, KeyboardInterrupt) as stop:
        said = str(stop) if isinstance(stop, StudyInterrupted) else "stopped"
        _say(f"{said}; nothing is lost. Resume with: {again_command(arguments)}")
        return INTERRUPTED
    if save_svg is not None and snapshot is not None:
        save_picture(save_svg, result, snapshot)
        console.print(f"picture: {save_svg}", markup=False)
    return 0


def with_data(plan: Plan, engine: Engine, *, say: Callable[[str], object] | None = None) -> Plan:
    """Check what would fail every trial, and return the plan with its data's fingerprint.

    Raises:
        UserError: if a model, device, data or setting cannot be used.
    """
    adapter = plan.adapter
    adapter.ensure_data()
    open.warm_up()  # the workers are still at their imports
    spec = plan.spec
    defaults = [spec.default_of(one) for one in spec.groups if one in spec.defaults]
    processes = engines.processes(engine, plan.workers)
    # In each worker, which then has the data when its first trial starts.
    most = plan.settings.search.constraints.get("parameters", math.inf)
    ends = spec.space.ends()
    # A study may have no default; then the ends of its space say what a trial takes.
    prepare, arguments = adapter.preparation(defaults or ends, ends, most)
    found = engines.call(engine, prepare, [arguments] * processes)
    # The cost of the objectives of ``objectives/`` that are not trainers is unknown.
    if say is not None and (adapter.trains or plan.spec.own is not None):
        for line in preflight.estimate(plan.trainings / processes, found):
            say(line)
    whole, without_test = found[0].fingerprint, found[0].train_fingerprint
    if whole != without_test and stored_study.data_fingerprint(plan.location) == without_test:
        # The study was started without a test set, which is here now; the training images are the
        # same.
        return dataclasses.replace(plan.with_data(without_test), test_data=whole)
    return plan.with_data(whole)


def finish(result: StudyResult, console: Console) -> None:
    """Write the result's files, then print it: the output's reader may have gone.

    Raises:
        UserError: if a file or the output cannot be written.
    """
    plan = result.plan
    config = from_here(write_best_config(result))
    write_atomically(plan.folder / "report.md", markdown(result))
    write_atomically(plan.folder / RESULT, json_text(result_json(result)) + "\n")
    report = from_here(plan.folder / "report.md")
    try:
        _print(result, console, config=config, report=report)
    except OSError as error:
        drop_output()
        raise UserError(
            f"the result cannot be printed: {error.strerror}; it is in {report} and {config}"
        ) from None
    _teller(console)("page", write_page(result))


def write_page(result: StudyResult) -> str:
    """Write the study's page and the index; return where the page is, or why there is none."""
    plan = result.plan
    command = plan.commands.look("report")
    # Not needed before, and they take a quarter of a second to import.
    from studies.report import page as html
    from studies.report.index_page import write_index

    if result.trained == 0 and (plan.folder / html.REPORT).is_file():
        return str(from_here(plan.folder / html.REPORT))  # it may have what a run leaves out
    if sum(result.states.values()) > PAGE_TRIALS:
        return f"of this many trials it takes seconds: {command}"
    # Whatever keeps it from being written, the study has ended well.
    try:
        found = stored_study.read(plan, result=result)
        page = html.write([html.gather(found, quick=True)], plan.folder / html.REPORT)
        write_index(plan.folder.parent)
    except (UserError, OSError) as error:
        return f"not written, {error}; {command}"
    return str(from_here(page))


def _print(result: StudyResult, console: Console, *, config: Path, report: Path) -> None:
    plan = result.plan
    if result.trained == 0:
        console.print(
            f"study {plan.name} had finished before: nothing was run, this is its result",
        )
    console.print()
    print_result(console, result)
    console.print()
    trained = plan.adapter.trains
    # One that a notebook defines is not found by a command.
    again = plan.spec.own is not None and (plan.program or plan.spec.name in catalog.names())
    lines = (
        ("best configuration", config),
        ("report", report),
        ("train it again", train_command(config)) if trained else None,
        ("run it again", plan.commands.reproduce(config)) if again else None,
        ("all trials", plan.commands.look("dashboard")),
    )
    for what, where in filter(None, lines):
        _print_line(console, what, where)


def _teller(console: Console) -> Callable[[str, str], None]:
    """Return a function that prints a line in the format of the result's last lines."""

    def tell(what: str, text: str) -> None:
        with suppress(OSError):  # the output's reader has gone
            _print_line(console, what, text)

    return tell


def _print_line(console: Console, what: str, text: object) -> None:
    console.print(f"{what + ':':<20}{text}", soft_wrap=True, markup=False, emoji=False)


def _above(text: str) -> None:
    """Print ``text`` on stderr, which a live view shows above itself."""
    with suppress(OSError):
        print(safe_lines(text), file=sys.stderr, flush=True)


@contextmanager
def _signals(control: Control, progress: Progress, *, live: bool) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a gentle stop, the second into a stop now."""

    def handle(number: int, frame: FrameType | None) -> None:
        if control.reading and control.asked == 0:
            control.asked += 1
            say("reading the test set, which takes a moment; Ctrl-C again interrupts it")
            return
        if not control.busy:
            if control.reading or control.asked == 0:
                raise CtrlC  # nothing is being trained: nothing to wait for
            return
        if control.asked > 1:
            return
        control.stop()
        running = len(progress.running)
        trials = counted(running, "running trial") if running else "what has started"
        say(
            f"finishing {trials}; Ctrl-C again to stop now"
            if control.asked == 1
            else f"ending {trials} now; they run again when you resume"
        )

    say = progress.messages.append if live else _say
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    if in_notebook():  # only what Python prints reaches the cell
        _above(text)
        return
    # Unbuffered: a signal handler may have interrupted a print.
    with suppress(OSError):  # the terminal was closed
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        os.write(2, f"{safe_lines(text)}\n".encode(encoding, "backslashreplace"))
