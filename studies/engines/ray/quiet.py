"""Keeping Ray and Tune to themselves: what they would print, and the environment they read."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def no_chatter() -> Iterator[None]:
    """Drop what Ray's C++ parts write to the standard error; what is wrong is raised, too."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def silence() -> None:
    """Keep Ray from printing into the live view what the trial book says already."""
    with contextlib.suppress(ImportError, AttributeError):  # not part of Ray's public interface
        from ray._private.ray_logging import global_worker_stdstream_dispatcher

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Tune's log to itself: the trial book knows what became of each trial."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
