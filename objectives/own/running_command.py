"""Running a command as one trial: its lines of JSON are reports, and the last one is the result."""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import psutil

from objectives.base import Report, Task, TrainingError
from objectives.own.command import Command

_PR_SET_PDEATHSIG = 1
_PATIENCE = 2.0
"""Seconds that a command has to end by itself once it is asked to."""
_LONGEST = 1 << 20
"""Characters of a line that are read; a longer one is not read as JSON."""
_CHUNK = 1 << 16
_LOOK = 0.1
"""Seconds between two looks at whether a command that prints nothing has ended."""
_TAIL = 4000
"""Bytes of the errors that are looked at for the last line."""


def run_command(
    command: Command,
    folder: str,
    task: Task,
    report: Report,
    *,
    not_waited_for: Callable[[], object] = lambda: None,
) -> Mapping[str, Any]:
    """Run ``command`` in ``folder`` and return what its last line of JSON holds.

    A line of JSON with a ``step`` is a report. If this raises, the command and what it started have
    ended, too. Of a command that has ended by itself no process is waited for that it left behind.
    ``not_waited_for`` is called after a report during which the command still ran.

    Raises:
        TrainingError: ``CommandFailed``: it cannot be started or has an exit code other than 0;
            ``NoResult``: it printed no JSON.
        StopTraining: if ``report`` raised it.
    """
    params = dict(task.params)
    values = {"params": json.dumps(params), "python": sys.executable, "seed": task.seed, **params}
    last: Mapping[str, Any] | None = None
    with tempfile.TemporaryFile() as errors, _started(command.argv(values), folder, errors) as run:
        said = ""
        for line in _lines(run):
            said = line.strip() or said
            found = _object(line)
            if found is None:
                continue
            last = found
            if "step" in found:
                report(
                    found["step"], {name: value for name, value in found.items() if name != "step"}
                )
                # It has printed its line and computes: only reports after its end cost time.
                if run.poll() is None:
                    not_waited_for()
        code = run.wait()
        if code:
            reason = _last_line(errors) or said or "it printed nothing"
            raise TrainingError("CommandFailed", f"{_ended(code)}: {reason}")
    if last is None:
        raise TrainingError(
            "NoResult",
            'the command printed no line of JSON, such as {"score": 0.9}; its last line is'
            f" {said[:200]!r}",
        )
    return _without_step(last)


def _without_step(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "step"}


def _lines(run: "subprocess.Popen[bytes]") -> Iterator[str]:
    """Yield what ``run`` prints, line by line, until it ends.

    The end of the pipe does not tell: a process that the command left behind may hold it open.
    """
    assert run.stdout is not None
    pipe, rest, after = run.stdout.fileno(), b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while after < _LONGEST:
            ended = run.poll() is not None  # first: by then all that it wrote is in the pipe
            if not selector.select(0 if ended else _LOOK):
                if ended:
                    break
                continue
            read = os.read(pipe, _CHUNK)
            if not read:
                break
            after += len(read) if ended else 0
            # A progress bar ends its lines with a carriage return alone.
            *lines, rest = (rest + read).replace(b"\r", b"\n").split(b"\n")
            if len(rest) > _LONGEST:
                lines, rest = [*lines, rest], b""
            yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


@contextmanager
def _started(
    words: list[str], folder: str, errors: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    # An engine ends a worker with its group. The program itself (engine inline) may be in the
    # group of a terminal, whose Ctrl-C would reach the command at once.
    alone = os.getsid(0) != os.getpid()
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=alone,
            preexec_fn=_die_with_parent(),
        )
    except OSError as error:
        said = error.strerror or str(error)
        raise TrainingError("CommandFailed", f"{words[0]}: cannot be started: {said}") from None
    try:
        with process:
            try:
                yield process
            finally:
                # Before the pipe is closed: a child may still hold its other end.
                end(process.pid)
    finally:
        process.wait()


def _die_with_parent() -> Callable[[], object] | None:
    """Return what a new process does so that it does not outlive a worker that is killed."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end(pid: int) -> None:
    """End process ``pid`` and all that it started: asked first, then killed."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.terminate()
    _, alive = psutil.wait_procs(family, timeout=_PATIENCE)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()


def _object(line: str) -> Mapping[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _last_line(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _TAIL))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _ended(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
