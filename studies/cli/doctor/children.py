"""Checks in processes of their own: a driver may hang, an import may crash, and both take long."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mnist_core.console.shell_words import python

LONGEST = 30.0
"""Seconds after which a process counts as hung; the import of torch takes 9 on a busy machine."""

_ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a process said: its facts, or in one line how it ended without any."""

    facts: dict[str, Any]
    died: str = ""


class Child:
    """``python -m studies.cli.doctor.probe NAME``, at work."""

    def __init__(self, name: str) -> None:
        environment = dict(os.environ)
        # The command may have been started in any folder.
        path = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
        self._process = subprocess.Popen(
            [*python(), "-m", "studies.cli.doctor.probe", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self._until = time.monotonic() + LONGEST

    def answer(self) -> Answer:
        """Wait for the facts; end the process if it takes too long."""
        try:
            out, err = self._process.communicate(timeout=max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.end()
            return Answer({}, f"no answer within {LONGEST:g} seconds")
        code = self._process.returncode
        if code < 0:
            return Answer({}, f"ended by {signal.Signals(-code).name}")
        try:
            facts: dict[str, Any] = json.loads(out)
        except ValueError:
            said = err.decode(errors="replace").strip().splitlines()
            return Answer({}, said[-1] if said else f"exit code {code}")
        return Answer(facts)

    def end(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


class Meanwhile(Generic[T]):
    """A call in a thread, for at most ``seconds`` from now: a name server may keep it waiting."""

    def __init__(self, call: Callable[[], T], *, seconds: float, late: T) -> None:
        self._result, self._until = late, time.monotonic() + seconds
        # Python does not wait for a daemon thread at its exit.
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], T]) -> None:
        self._result = call()

    def result(self) -> T:
        """Return what the call returned, or ``late``."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return self._result
