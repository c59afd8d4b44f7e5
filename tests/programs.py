"""Programs in forked processes: signals, kills and exits are real, but nothing is imported again.

To import torch takes 3 s of CPU time, more than most of what the programs do.
"""

import atexit
import gc
import logging
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from io import TextIOWrapper
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def start(
    program: Callable[[], object],
    *words: object,
    env: Mapping[str, str] | None = None,
    keep: Collection[int] = (),
    **options: Any,
) -> subprocess.Popen[str]:
    """Run ``program`` as a process would that was started with ``sys.argv = words``.

    Args:
        program: called in the process; what it replaces in modules is replaced there only.
        words: the command line, the program's name first.
        env: environment variables that are added.
        keep: descriptors that stay open.
        options: as ``subprocess.Popen`` takes them; all three streams are pipes, or closed.
    """
    assert not in_a_long_test(), "a forked program may crash beside servers and Ray"
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable],
        preexec_fn=partial(_be, program, words, env or {}, keep),  # it never returns
        restore_signals=False,
        **{"text": True, **streams, **options},
    )


def start_script(path: Path, *words: object, **options: Any) -> subprocess.Popen[str]:
    """Run the Python file ``path`` as a program; in a long test as a process of its own."""
    if in_a_long_test():
        return _start_really([str(path), *map(str, words)], **options)

    def script() -> None:
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")

    return start(script, path, *words, **options)


def start_module(
    name: str, program: Callable[[], object], *words: object, **options: Any
) -> subprocess.Popen[str]:
    """Run ``python -m name word …``, whose entrance is ``program``; really so in a long test."""
    if in_a_long_test():
        return _start_really(["-m", name, *map(str, words)], **options)
    return start(program, name, *words, **options)


def in_a_long_test() -> bool:
    """Return whether the test that runs is a long one.

    Long tests have servers, Ray and threads in this process, after which a forked one may crash.
    """
    return os.environ.get("LONG_TEST") == "1"


def _start_really(
    command: list[str], *, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    path = os.pathsep.join(map(str, (HERE.parent, HERE, HERE / "studies")))
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        **{"text": True, **streams, **options},
    )


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork servers of engines have imported all that this process has, torch too."""
    fork_workers(monkeypatch)


def fork_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what ``warm_workers`` does, for other fixtures."""
    if in_a_long_test():
        return
    from studies.engines._local import fork_server

    monkeypatch.setattr(fork_server, "subprocess", _Warm)


@pytest.fixture
def warm_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of trackers have imported all that this process has."""
    if in_a_long_test():
        return
    from studies.tracking import process

    monkeypatch.setattr(process, "subprocess", _Warm)


class _Warm:
    """Stands for the module ``subprocess`` where modules are run as programs."""

    DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    TimeoutExpired = subprocess.TimeoutExpired

    @staticmethod
    def Popen(
        command: list[str], *, pass_fds: Collection[int] = (), **options: Any
    ) -> subprocess.Popen[Any]:
        name, *words = command[command.index("-m") + 1 :]
        program = partial(runpy.run_module, name, run_name="__main__")
        return start(program, name, *words, keep=pass_fds, text=False, **options)


def _be(
    program: Callable[[], object],
    words: Collection[object],
    env: Mapping[str, str],
    keep: Collection[int],
) -> None:
    gc.freeze()  # objects of the parent must not close descriptors that are others' here
    atexit._clear()  # what the parent does at its end
    logging.getLogger().handlers.clear()
    tracker = resource_tracker._resource_tracker  # the parent's process; this one has its own
    tracker._fd = tracker._pid = None
    # Popen waits for the end of its own pipe, too, which the start of a program would close.
    first = 3
    for kept in (*sorted(keep), 4096):
        os.closerange(first, kept)
        first = kept + 1
    os.environ.update(env)
    sys.argv = [str(word) for word in words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        _open_streams()
        program()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(_flushed(code))


def _open_streams() -> None:
    """Open the standard streams as Python does; pytest has replaced those of its process."""
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        opened = TextIOWrapper(
            open(number, "wb", closefd=False),  # noqa: SIM115
            encoding="utf-8",
            errors="strict" if number == 1 else "backslashreplace",
            line_buffering=number == 2,
        )
        setattr(sys, name, opened)
        setattr(sys, f"__{name}__", opened)


def _flushed(code: int) -> int:
    """Do what Python does at its end; return the exit code, 120 where the output takes no more."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return code
