"""One tracker of one study, in a process of its own: ``python -m studies.trackers NAME FOLDER …``.

It reads the study's event log while the study runs. Its standard input is a pipe from whoever
started it: when that ends, the starter is done or dead, and it reads the log to its end, concludes
and leaves. If that takes longer than it may, it leaves at once; then what it has not kept is
written by the next process. Its own few lines go to standard output, whatever libraries print into
``trackers/<name>.log``.
"""

import importlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studies.event_log import FILE, Tail, survey
from studies.trackers.base import Place
from studies.trackers.follow import Follower, Kept
from studies.trackers.settings import TrackingSettings

PAUSE = 0.5
"""Seconds between two looks at the log."""
NICENESS = 10
"""A tracker takes what trainings leave of the processor, and a tenth of a core at least."""
TOO_LATE = 3
"""Exit code of a process that was not done in time."""


def main(name: str, folder: Path, settings: TrackingSettings, *, seconds: float, sync: str) -> int:
    """Track until standard input ends and the log is read.

    Args:
        name: of the tracker.
        folder: the study's.
        settings: ``[tracking]``.
        seconds: it may take from the end of standard input on.
        sync: the command that a person is told.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the study
    os.nice(NICENESS)
    own = folder / "trackers"
    own.mkdir(exist_ok=True)
    say = _separated(own / f"{name}.log")
    with _alone(own / f"{name}.lock") as alone:
        if not alone:
            say("another process keeps this study")
            return 1
        module = importlib.import_module(f"studies.trackers.{name}")
        place = Place(folder=folder, settings=settings, say=say, sync=sync)
        follower = Follower(
            lambda study: module.create(study, place),
            Kept(own / f"{name}.kept"),
            say,
            runs=settings.mode == "trial",
        )
        tail = Tail(folder / FILE)
        over = _over(0) and follower.up_to_date(survey(folder / FILE))
        while not over:
            over = _over(PAUSE if tail.offset else 0)
            if over:
                _leave_after(seconds)
            for event in tail.read():
                follower.take(event)
        last = follower.finish() if tail.offset else "nothing is missing"
    if tail.damaged:
        lines = "line is no event and was" if tail.damaged == 1 else "lines are no events and were"
        say(f"{folder / FILE}: {tail.damaged} {lines} passed over")
    if follower.missed:
        say(f"not everything is kept; details: {own / f'{name}.log'}")
    if last:
        say(last)
    return 1 if follower.missed else 0


def _over(seconds: float) -> bool:
    """Wait so long for the end of standard input; return whether it came."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1024)


def _leave_after(seconds: float) -> None:
    """Have this process end if it still runs after ``seconds``: a library may hang."""
    timer = threading.Timer(seconds, os._exit, [TOO_LATE])
    timer.daemon = True
    timer.start()


def _separated(path: Path) -> Callable[[str], None]:
    """Send what is printed from now on to ``path``; return what prints to the old output."""
    output = os.dup(1)
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s")

    def say(text: str) -> None:
        with suppress(OSError):  # whoever started this may be gone
            os.write(output, f"{text}\n".encode())

    return say


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Wait until no other process runs this tracker for this study; False: there was no need to.

    The other one is a supervisor's that was just killed, whose tracker is about to leave, or one
    that joined in the same study: then this one's own trials are in the same log.
    """
    import fcntl  # not on Windows

    with path.open("w") as file:
        over = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if over:
                    yield False
                    return
                over = _over(PAUSE)
                if over:
                    time.sleep(PAUSE)
            else:
                yield True
                return


if __name__ == "__main__":
    sys.exit(
        main(
            sys.argv[1],
            Path(sys.argv[2]),
            TrackingSettings.model_validate_json(sys.argv[3]),
            seconds=float(sys.argv[4]),
            sync=sys.argv[5],
        )
    )
