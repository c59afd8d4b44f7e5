"""One tracker of one study, in a process of its own: ``python -m studies.tracking NAME FOLDER …``.

It reads the study's event log while the study runs. Its standard input is a pipe from the process
that started it. When that ends, it reads the log to its end, concludes and exits.
"""

import gc
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
from typing import Any

from studies import tracking
from studies.core.event_log import FILE, Tail, survey
from studies.core.redaction import masked
from studies.planning.tracking_settings import VARIABLE, TrackingSettings
from studies.storage.belonging import KEPT
from studies.tracking.base import Place
from studies.tracking.follow import Follower
from studies.tracking.kept import Kept

PAUSE = 0.5
"""Seconds between two looks at the log."""
NICENESS = 10
"""A tracker gets the processor time that trainings leave, and at least a tenth of a core."""
TOO_LATE = 3
"""Exit code of a process that was not done in time."""


def main(name: str, folder: Path, settings: TrackingSettings, *, seconds: float, sync: str) -> int:
    """Track until standard input ends and the log is read; people are told the command ``sync``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the study
    threading.Thread(target=_leave_in_time, args=[seconds], daemon=True).start()
    own = folder / "trackers"
    try:
        own.mkdir(exist_ok=True)
        say = _separated(own / f"{name}.log")
    except OSError as error:
        print(f"cannot write to {own}: {error.strerror or error}")
        return 1
    with _alone(own / f"{name}.lock") as alone:
        if not alone:
            say("another process keeps this study")
            return 1
        module = tracking.module(name)
        place = Place(folder=folder, settings=settings, say=say, sync=sync)
        follower = Follower(
            lambda study: module.create(study, place),
            Kept(own / f"{name}{KEPT}"),
            say,
            runs=settings.mode == "trial",
        )
        tail = Tail(folder / FILE)
        # If all is kept already, it ends at once, without an import of the tracker's library.
        over = _over(0) and follower.up_to_date(survey(folder / FILE))
        if not over:
            _warm_up(module, place)
        os.nice(NICENESS)  # trainings come first
        while not over:
            over = _over(PAUSE if tail.offset else 0)
            for event in tail.read():
                follower.take(event)
        last = follower.finish() if tail.offset else "nothing is missing"
    if tail.damaged:
        lines = "line that is not an event" if tail.damaged == 1 else "lines that are not events"
        say(f"{folder / FILE}: left out {tail.damaged} {lines}")
    if follower.missed:
        say(f"not everything is kept; details: {own / f'{name}.log'}")
    if last:
        say(last)
    return 1 if follower.missed else 0


def _warm_up(module: Any, place: Place) -> None:
    """Let the tracker import its library, before this process has a low priority.

    The imports of W&B took 36 of the 42 seconds in which it wrote a study of twelve trials on a
    busy machine at the low priority, so at the end of each short study they were waited for.
    """
    warm_up = getattr(module, "warm_up", None)
    if callable(warm_up):
        try:
            warm_up(place)
        except Exception:  # it comes again at the first trial, where it is told
            logging.getLogger(__name__).exception("warm_up of %s", module.__name__)


def _over(seconds: float | None) -> bool:
    """Wait ``seconds`` (None: for ever) for the end of standard input; return whether it came."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1024)


def _leave_in_time(seconds: float) -> None:
    """Exit ``seconds`` after the end of standard input, as a library may hang."""
    while not _over(None):
        pass
    time.sleep(seconds)  # the next process writes what is missing
    os._exit(TOO_LATE)


class _Masked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def _separated(path: Path) -> Callable[[str], None]:
    """Redirect output to ``path``; return what prints to the old output."""
    # Only the owner reads it: libraries may print passwords there.
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    output = os.dup(1)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked("%(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler])

    def say(text: str) -> None:
        with suppress(OSError):  # the process that started this may be gone
            os.write(output, f"{text}\n".encode())

    return say


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Wait until no other process runs this tracker of this study; False: the study has ended."""
    import fcntl  # not on Windows

    # The other process belongs to a supervisor that was killed, and is about to exit, or to one
    # that takes part in the same study: then this one's trials are in the same log.
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
    code = main(
        sys.argv[1],
        Path(sys.argv[2]),
        # In the environment, as a command line is public; popped, as libraries start processes.
        TrackingSettings.model_validate_json(os.environ.pop(VARIABLE)),
        seconds=float(sys.argv[3]),
        sync=sys.argv[4],
    )
    gc.freeze()  # as studies.run does: else it would look for garbage in every module
    sys.exit(code)
