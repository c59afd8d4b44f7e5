"""Calls in a process of their own: results, errors, memory, death, Ctrl-C."""

import os
import signal
import threading
import time
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess

import psutil
import pytest
from waiting import until

from mnist_core.errors import ConfigError
from mnist_core.finders.isolated import Isolated, OutOfMemory

MIB = 2**20
# What the functions below do, they do in a child, which imports this module.


def double(x):
    return os.getpid(), 2 * x


def fail(kind):
    if kind in ("cuda", "cpu"):
        import torch  # not above: every child would import it
    if kind == "user":
        raise ConfigError("not like this")
    if kind == "python":
        raise MemoryError
    if kind == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried\nmore lines")
    if kind == "cpu":
        torch.empty(2**60, dtype=torch.uint8)
    if kind == "defect":
        raise KeyError("a defect")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(3)
    if kind == "unpicklable":
        return lambda: None
    return kind


def hold(mebibytes, seconds=600.0):
    block = bytearray(mebibytes * MIB)
    block[::4096] = b"x" * len(block[::4096])  # untouched pages are not in memory
    time.sleep(seconds)
    return len(block)


@pytest.fixture(scope="module", autouse=True)
def _resource_tracker():
    """Python starts it with the first child, and it stays."""
    resource_tracker.ensure_running()


def children():
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_calls_are_answered_in_one_process_of_its_own():
    with Isolated(double) as isolated:
        (pid, value), (again, other) = isolated(21), isolated("ab")
    assert (value, other) == (42, "abab")
    assert pid == again != os.getpid()
    assert not psutil.pid_exists(pid)


def test_a_closed_one_begins_anew():
    with Isolated(double) as isolated:
        first, _ = isolated(1)
        isolated.close()
        assert not psutil.pid_exists(first)
        second, _ = isolated(1)
    assert first != second


def test_out_of_memory_and_on_it_goes():
    """All in one object: a process that imports torch takes 3 s."""
    with Isolated(fail) as isolated:
        for kind in ("python", "cuda", "cpu", "killed"):
            with pytest.raises(OutOfMemory) as caught:
                isolated(kind)
            assert len(str(caught.value).splitlines()) <= 1
            assert isolated("fine") == "fine"


def test_a_mistake_of_the_user_comes_as_it_is(refusal):
    with Isolated(fail) as isolated:
        assert refusal(ConfigError, isolated, "user") == "not like this"


def test_a_defect_is_no_shortage_of_memory():
    kinds = {"defect": "KeyError", "unpicklable": "lambda", "exit": "code 3"}
    with Isolated(fail) as isolated:
        for kind, said in kinds.items():
            with pytest.raises(RuntimeError, match=said):
                isolated(kind)
            assert isolated("fine") == "fine"


def test_what_holds_too_much_is_killed_at_once_and_alone():
    before, began = children(), time.monotonic()
    with Isolated(hold, memory=500 * MIB) as isolated:
        assert isolated(100, 0.2) == 100 * MIB
        with pytest.raises(OutOfMemory, match="bytes"):
            isolated(700)
        assert children() <= before
        assert isolated(100, 0.0) == 100 * MIB
    assert time.monotonic() - began < 300  # it would have slept for 600 seconds
    assert children() <= before


def test_ctrl_c_does_not_reach_the_child_and_leaving_ends_it():
    before = children()
    with pytest.raises(KeyboardInterrupt), Isolated(double) as isolated:
        pid, _ = isolated(1)
        os.kill(pid, signal.SIGINT)
        assert isolated(2) == (pid, 4)
        raise KeyboardInterrupt
    assert children() <= before


def test_the_answer_to_a_call_that_was_interrupted_is_not_the_next_ones(monkeypatch):
    def interrupt(connection):
        connection.poll(None)
        raise KeyboardInterrupt

    with Isolated(double) as isolated:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(isolated, "_await", interrupt)
            isolated(1)
        assert isolated(2)[1] == 4


def test_nothing_is_started_before_the_first_call():
    before = children()
    with Isolated(double):
        assert children() <= before


def test_ctrl_c_that_another_thread_takes_waits_until_the_child_is_in_our_hands(monkeypatch):
    """Libraries have threads; a signal that is blocked here is taken by one of them."""
    over = threading.Event()
    library = threading.Thread(target=over.wait)
    library.start()
    start = SpawnProcess.start

    def interrupted(process):
        note, noted = signal.getsignal(signal.SIGINT), []
        signal.signal(signal.SIGINT, lambda *some: noted.append(note(*some)))
        signal.pthread_kill(library.ident, signal.SIGINT)
        until(lambda: noted)
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    before = signal.getsignal(signal.SIGINT)
    isolated = Isolated(double)
    try:
        with pytest.raises(KeyboardInterrupt):
            isolated(1)
        monkeypatch.undo()
        child = isolated._process.pid  # it was started, whole
        assert isolated(2) == (child, 4)
    finally:
        over.set()
        library.join()
        isolated.close()
    assert signal.getsignal(signal.SIGINT) is before
