"""Functions that take turns in one process: one runs at a time, until it waits.

Each has a thread, for its own stack of calls, but no two run at once, so none needs a lock. What
only the main thread may do, such as writing a study, a function asks it for.
"""

import threading
from collections.abc import Callable
from typing import Any

from mnist_core.stacked.process_state import ProcessState


class Turn:
    """A function that runs by turns, with a random state of its own."""

    def __init__(self, function: Callable[["Turn"], Any]) -> None:
        """Take the function, which the first ``resume`` starts."""
        self.state = ProcessState()
        self._function = function
        self._thread: threading.Thread | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._asked: Callable[[], Any] | None = None
        self._answer: Any = None
        self._thrown: BaseException | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._running = False
        self.ended = False
        """Whether the function has returned or raised."""

    def result(self) -> Any:
        """Return what the ended function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def resume(self) -> None:
        """Run the function until it waits or ends; what it asks for is done here."""
        self._run()
        while self._asked is not None:
            asked, self._asked, self._answer = self._asked, None, None
            try:
                self._answer = asked()
            except Exception as error:  # belongs to the function that asked
                self._thrown = error
            self._run()

    def throw(self, error: BaseException) -> None:
        """Have ``error`` raised where the function waits, when it is resumed."""
        self._thrown = error

    def close(self, error: BaseException) -> None:
        """End the function: ``error`` is raised where it waits, and again until it has ended."""
        if self._thread is None:
            self.ended = True
        if self._running:  # Ctrl-C left it at that
            self._wait_for_it()
        while not self.ended:
            self._asked, self._thrown = None, error
            self._run()

    def wait(self) -> None:
        """Let the others have their turn; called by the function."""
        self._hand_back()

    def ask(self, function: Callable[[], Any]) -> Any:
        """Have ``resume`` call ``function`` in its thread; return or raise what that does."""
        self._asked = function
        return self._hand_back()

    def _run(self) -> None:
        with self.state.in_force():
            self._running = True
            if self._thread is None:
                # A daemon: the end of the process does not wait for it.
                self._thread = threading.Thread(target=self._main, daemon=True)
                self._thread.start()
            else:
                self._go.release()
            self._wait_for_it()

    def _wait_for_it(self) -> None:
        assert self._thread is not None
        self._back.acquire()
        self._running = False
        if self.ended:
            self._thread.join()

    def _hand_back(self) -> Any:
        self._back.release()
        self._go.acquire()
        error, self._thrown = self._thrown, None
        if error is not None:
            raise error
        return self._answer

    def _main(self) -> None:
        try:
            self._result = self._function(self)
        except BaseException as error:
            self._error = error
        finally:
            self.ended = True
            self._back.release()
