"""The file of a journal: how lines get into it and out of it, in place of Optuna's own backend."""

import json
import os
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mnist_core.files import check_regular
from studies.storage.errors import Damaged, NoStudies, StorageError

GARBAGE = (LookupError, ValueError, TypeError, AttributeError, AssertionError)
"""What Optuna raises on lines that it has not written."""


class JournalFile(JournalFileBackend):
    """A journal's file; it is made if there is none.

    Raises:
        StorageError: if the file cannot be read or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path  # of the file
        # whether each append is flushed to the disk; if not, the caller flushes at the end
        self.durable = True
        # names of the user attributes of trials that are read; None: all
        self.held: frozenset[str] | None = None
        self.ended: list[int] = []  # identities of trials whose end was read; the caller clears it
        # Number and place of the first line that was not read yet. Optuna remembers the place of
        # each line, some hundred bytes each, and a trial has about sixteen lines.
        self._next = (0, 0)
        self._turnstile = JournalFileOpenLock(str(path))
        self._together: dict[int, list[dict[str, Any]]] = {}  # what a thread appends in one write
        try:
            super().__init__(str(path), lock_obj=self._turnstile)
        except OSError as error:
            raise _unusable(path, error) from None

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Write everything that this thread appends inside in one write at the end.

        Until then the thread reads nothing. If the block raises, nothing is written.
        """
        thread = threading.get_ident()
        logs = self._together[thread] = []
        try:
            yield
        finally:
            del self._together[thread]
        if logs:
            self.append_logs(logs)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the lines from this number on."""
        if threading.get_ident() in self._together:
            return
        try:
            with self.path.open("rb") as file:
                number, position = self._next if log_number_from >= self._next[0] else (0, 0)
                file.seek(position)
                while (line := file.readline()).endswith(b"\n"):  # else it is still being written
                    number, position = number + 1, position + len(line)
                    if number > log_number_from:
                        log = json.loads(line)
                        self._next = number, position
                        if "trial_id" in log and "state" in log:
                            self.ended.append(log["trial_id"])
                        yield log if self.held is None else _without(self.held, log)
        except OSError as error:
            raise _unusable(self.path, error) from None
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, error) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all of them or none."""
        together = self._together.get(threading.get_ident())
        if together is not None:
            together += logs
            return
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode()
        try:
            with self.locked() as descriptor:
                end = _end_of_lines(descriptor)
                if end < self._next[1]:
                    raise damaged(self.path, ValueError("it was cut short by another program"))
                # A killed process or a full disk left a part of a line. Optuna appends to it, which
                # makes everything behind it unreadable.
                os.ftruncate(descriptor, end)
                try:
                    _write(descriptor, end, lines)
                    if self.durable:
                        os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, end)
                    raise
        except OSError as error:
            raise _unusable(self.path, error) from None

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock; yields the open file."""
        if os.name != "posix":
            self._turnstile.acquire()
            descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            try:
                yield descriptor
            finally:
                os.close(descriptor)
                self._turnstile.release()
            return
        # The kernel's lock, on the file itself, ends with its holder. Optuna's is a second file: a
        # killed process leaves it behind, and the next one waits half a minute.
        descriptor = _open_locked(self.path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def check_lines(path: Path) -> None:
    """Raise ``StorageError`` if a line is damaged: another program may have written there."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    json.loads(line)["op_code"]
    except OSError as error:
        raise _unusable(path, error) from None
    except GARBAGE as error:
        raise damaged(path, error) from None


def check_file(path: Path, *, create: bool) -> None:
    """Raise ``StorageError`` unless a file is a journal, or is missing and may be made."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            first = file.readline(1_000_000)
    except FileNotFoundError:
        if create:
            return
        raise NoStudies(f"there is no study journal at {path}; run a study first") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise _unusable(path, error) from None
    if not first:
        if create:
            return
        raise NoStudies(f"{path} holds no study; run a study first")
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):  # brackets nested thousands deep
        line = None
    if not isinstance(line, dict) or "op_code" not in line:
        raise Damaged(f"{path} is not an Optuna journal; move it away or choose another storage")


def with_names(lines: bytes, names: Mapping[str, str]) -> bytes:
    """Return a journal's lines with new names of studies by old ones."""
    if not names:
        return lines
    found = []
    for line in lines.splitlines(keepends=True):
        if b'"study_name"' in line:
            log = json.loads(line)
            if log.get("study_name") in names:  # only the line that makes a study has one
                log["study_name"] = names[log["study_name"]]
                line = json.dumps(log, separators=(",", ":")).encode() + b"\n"
        found.append(line)
    return b"".join(found)


def only(held: frozenset[str], attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the ``attributes`` whose names are in ``held``."""
    return {sys.intern(name): value for name, value in attributes.items() if name in held}


def _without(held: frozenset[str], log: dict[str, Any]) -> dict[str, Any]:
    """Return a line without user attributes of a trial that are not ``held``."""
    if "trial_id" in log and "user_attr" in log and not held.issuperset(log["user_attr"]):
        # Optuna skips a line of another process about a trial that it does not know.
        return {**log, "trial_id": -1, "worker_id": ""}
    if log.get("user_attrs"):
        return {**log, "user_attrs": only(held, log["user_attrs"])}
    return log


def _open_locked(path: Path) -> int:
    import fcntl  # only on POSIX

    while True:
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            here, there = os.fstat(descriptor), os.stat(path)
        except BaseException:
            os.close(descriptor)
            raise
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return descriptor
        os.close(descriptor)  # another file was put in its place during the wait


def _end_of_lines(descriptor: int) -> int:
    """Return the size of the file up to its last line end."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write(descriptor: int, position: int, data: bytes) -> None:
    os.lseek(descriptor, position, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]


def _unusable(path: Path, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or error
    return StorageError(
        f"{path}: {reason}; nothing is lost, but nothing more can be written or read there; repair"
        " it and run the same command again"
    )


def damaged(path: Path, error: Exception) -> StorageError:
    """Return the error of a line that cannot be read."""
    said = " ".join(str(error).split())[:100]
    return Damaged(
        f"{path} is damaged ({type(error).__name__}: {said}); put a sound copy in its place, or"
        " start fresh (--fresh moves it aside)"
    )
