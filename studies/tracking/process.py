"""The processes in which trackers run, seen from the process that starts them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import psutil

from mnist_core.console.shell_words import python
from studies.planning.tracking_settings import VARIABLE, TrackingSettings
from studies.tracking.kept import lack

_ROOT = Path(__file__).resolve().parents[2]
_GRACE = 2.0
"""Seconds beyond a tracker's own limit before it is killed."""
SAID_AFTER = 3.0
"""Seconds that it is waited for without a word."""


class TrackerProcess:
    """One tracker at work on a study's log; ``seconds`` is its time limit after ``finish``."""

    def __init__(
        self, name: str, folder: Path, settings: TrackingSettings, *, seconds: float, sync: str
    ) -> None:
        self.name = name
        self._offline = name == "wandb" and settings.wandb.mode != "online"
        self._seconds = seconds
        self._log = folder / "trackers" / f"{name}.log"
        environment = dict(os.environ)
        # The command may have been started in any folder.
        path = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
        environment[VARIABLE] = settings.model_dump_json()
        arguments = [name, str(folder.absolute()), str(seconds), sync]
        self._process = subprocess.Popen(
            [*python(), "-m", "studies.tracking", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            # Its own session, so that Ctrl-C does not reach it.
            start_new_session=True,
        )
        self.pid = self._process.pid

    def dismiss(self) -> None:
        """Tell it that the log is complete: it reads the rest and exits."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def finish(self, say: Callable[[str], object] | None = None) -> list[str]:
        """Wait for its end, or kill it when it takes too long; return its lines.

        ``say`` is told what is waited for, unless it ends within ``SAID_AFTER`` seconds.
        """
        self.dismiss()
        deadline = time.monotonic() + self._seconds + _GRACE
        interrupted = False
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=min(SAID_AFTER, self._seconds))
            if say is not None and self._process.poll() is None:
                # It has a low priority, so on a busy machine it lags behind the study.
                where = " (offline, nothing is uploaded)" if self._offline else ""
                say(
                    f"waiting for {self.name}{where} to write the rest of the study, at most"
                    f" {self._seconds:g} s (tracking.finish_seconds)"
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:
            interrupted = True
        # 3 is its own exit code when its time is up.
        late = self._process.poll() is None or self._process.returncode == 3
        self.kill()
        assert self._process.stdout is not None
        with self._process.stdout as output:
            lines = output.read().decode(errors="replace").splitlines()
        if interrupted:
            return [*lines, "ended by Ctrl-C"]
        if late:
            return [*lines, f"not done within {self._seconds:g} seconds (tracking.finish_seconds)"]
        code = self._process.returncode
        if code not in (0, 1) or (code and not lines):
            how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            return [*lines, f"died ({how}); details: {self._log}"]
        return lines

    @property
    def complete(self) -> bool:
        """Whether it has kept everything; known after ``finish``."""
        return self._process.returncode == 0

    def kill(self) -> None:
        """Kill it with all processes that its libraries started, and wait for its end."""
        self.dismiss()
        if self._process.poll() is None:
            for process in _started_by(self.pid):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self._process.wait()


def _started_by(pid: int) -> list[psutil.Process]:
    """Return process ``pid`` and those that it started; killed first, it starts no more."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


class TrackerProcesses:
    """The trackers of one study; a context manager that leaves no process behind.

    ``seconds`` is each tracker's limit at the end; None: that of the settings.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        settings: TrackingSettings,
        *,
        sync: str,
        seconds: float | None = None,
    ) -> None:
        self._names, self._folder, self._settings = tuple(names), folder, settings
        self._sync = sync
        self._seconds = settings.finish_seconds if seconds is None else seconds
        self._running: list[TrackerProcess] = []
        self._complete: dict[str, bool] = {}

    def complete(self, name: str) -> bool:
        """Whether tracker ``name`` has kept everything; known after ``finish``."""
        return self._complete.get(name, False)

    def catch_up(self) -> list[str]:
        """Start the trackers that do not run and lack something; return lines as ``start`` does."""
        # A tracker that was killed in an earlier run lacks trials, and this run may train nothing.
        idle = [n for n in self._names if all(process.name != n for process in self._running)]
        if not idle:
            return []
        try:
            names = lack(idle, self._folder, runs=self._settings.mode == "trial")
        except OSError as error:
            return [f"{error.filename}: cannot be read: {error.strerror}"]
        return self.start(names)

    def start(self, names: Sequence[str] | None = None) -> list[str]:
        """Start trackers, None: all, that do not run; return a line for each that cannot start."""
        said = []
        for name in self._names if names is None else names:
            if any(process.name == name for process in self._running):
                continue
            try:
                self._running.append(
                    TrackerProcess(
                        name, self._folder, self._settings, seconds=self._seconds, sync=self._sync
                    )
                )
            except OSError as error:
                said.append(f"{name}: cannot be started: {error.strerror or error}")
        return said

    def finish(self, say: Callable[[str], object]) -> list[tuple[str, str, bool]]:
        """Wait for all at the same time; return name, line and whether it kept everything.

        ``say`` is told which one is waited for.
        """
        for process in self._running:
            process.dismiss()
        said = []
        for process in self._running:
            lines = process.finish(say)
            self._complete[process.name] = process.complete
            said += [(process.name, line, process.complete) for line in lines]
        self._running = []
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._running:
            process.kill()
            process.finish()
        self._running = []
