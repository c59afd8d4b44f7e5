"""Calls in a process of their own, which may run out of memory without harm to this one."""

import contextlib
import multiprocessing
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import psutil

from mnist_core.device.device_errors import is_out_of_memory
from mnist_core.errors import UserError

T = TypeVar("T")

_GLANCE = 0.02  # seconds between two looks at the memory of the process


class OutOfMemory(Exception):
    """The call needed more memory than there is, or than it was given; its process may be gone."""


class Isolated(Generic[T]):
    """A function whose calls are done one after another in a child process.

    The first call starts it, or the next one after it has died or was closed.
    """

    def __init__(self, function: Callable[..., T], *, memory: int | None = None) -> None:
        """Prepare the calls; the child may hold ``memory`` bytes, libraries included; None: all."""
        self._function = function
        self._memory = memory
        self._process: Any = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = self._connection = None

    def __call__(self, *arguments: Any) -> T:
        """Call the function there.

        Raises:
            OutOfMemory: if it raised such an error, or its process held more than it may and was
                killed, or was killed by the system, which happens where memory runs short.
            UserError: if the function raised one.
            RuntimeError: if it raised something else, or its process ended by itself.
        """
        connection = self._connection or self._start()
        try:
            connection.send(arguments)
            self._await(connection)
            outcome, value = connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            if code == -signal.SIGKILL:
                raise OutOfMemory("the system killed the process") from None
            raise RuntimeError(f"the process ended with code {code}") from None
        except KeyboardInterrupt:
            self.close()  # else its answer would be taken for that of the next call
            raise
        if outcome == "result":
            return value  # type: ignore[no-any-return]
        if outcome == "memory":
            raise OutOfMemory(value)
        if outcome == "user":
            raise value
        raise RuntimeError(f"in the process of its own:\n{value}")

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")  # a fork would share torch's threads
        resource_tracker.ensure_running()  # its own start would unblock the signal
        with _interrupts_held():
            connection, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, self._function), daemon=True, name="isolated"
            )
            process.start()
            theirs.close()
            self._process, self._connection = process, connection
        return connection

    def _await(self, connection: Connection) -> None:
        """Wait for an answer or the end of the child; end it if it takes too much memory."""
        process = psutil.Process(self._process.pid)
        while not connection.poll(_GLANCE):
            with contextlib.suppress(psutil.NoSuchProcess):
                held = process.memory_info().rss
                if self._memory is not None and held > self._memory:
                    self.close()
                    raise OutOfMemory(f"it held {held:,} of {self._memory:,} bytes")


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, here until the end, and for good in a child that is started within."""
    # The terminal sends it to both. The child inherits that the signal is blocked, so it never sees
    # one, not even while it starts. Here another thread, one of a library's, may take it all the
    # same, and Python would raise it between any two lines; so it is noted and raised in the end.
    noted: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # only that one is interrupted
    handler = signal.signal(signal.SIGINT, lambda *_: noted.append(1)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
        if noted:
            signal.raise_signal(signal.SIGINT)


def _serve(connection: Connection, function: Callable[..., Any]) -> None:
    """Answer calls until the other side is gone."""
    with contextlib.suppress(OSError):  # not Linux
        # Where memory runs out all the same, the system is to take this process.
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send(_answer(function, connection.recv()))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        result = function(*arguments)
    except UserError as error:
        return "user", error
    except Exception as error:
        if is_out_of_memory(error):
            return "memory", str(error).partition("\n")[0]
        return "defect", traceback.format_exc()
    try:
        pickle.dumps(result)
    except (pickle.PicklingError, TypeError, AttributeError):
        return "defect", traceback.format_exc()
    return "result", result
