"""Studies in an Optuna journal file: one line of JSON for each change, appended.

Optuna's journal is used, but for how a line gets into the file:

* What a killed process or a full disk left of a line is cut off before the next one is written;
  Optuna appends to it, which makes everything behind it unreadable.
* The lock is the kernel's, on the file itself: it ends with the process that holds it. Optuna's own
  is a second file, which a killed process leaves behind and the next one waits half a minute for.
* Where a line begins is remembered of the next one alone. Optuna remembers it of each: some hundred
  bytes of memory a line, and a trial has about sixteen.
* What an objective left with a trial may stay in the file, see ``hold_only``.
"""

import json
import os
import sys
import threading
from collections.abc import Collection, Container, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from copy import deepcopy as deepcopied
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from mnist_core.files import check_regular
from studies.storage.rows import SharedDistributions, forget_begin
from studies.storage.url import Damaged, NoStudies, StorageError

_GARBAGE = (LookupError, ValueError, TypeError, AttributeError, AssertionError)
"""What Optuna raises on lines that it has not written."""


class Journal(JournalStorage):
    """Optuna's journal storage on one file.

    Args:
        url: its storage URL.
        path: the file; it is made where there is none.
        held: see below.

    Attributes:
        url: its storage URL.

    Raises:
        StorageError: the file cannot be read or made, or holds other things than a journal.
    """

    def __init__(self, url: str, path: Path, *, held: Collection[str] | None = None) -> None:
        self.url = url
        self.file = _File(path)
        self.file.held = None if held is None else frozenset(held)
        self._distributions = SharedDistributions()
        try:
            super().__init__(self.file)
        except _GARBAGE as error:
            raise _damaged(path, error) from None

    @property
    def held(self) -> frozenset[str] | None:
        """Names of the user attributes that trials have here; None: all."""
        return self.file.held

    def hold_only(self, names: Collection[str]) -> None:
        """From now on leave user attributes of trials that have other names in the file."""
        held = self.file.held = frozenset(names)
        for study in self.get_all_studies():
            for trial in self._kept(self.get_study_id_from_name(study.study_name)):
                trial.user_attrs = _only(held, trial.user_attrs)
                forget_begin(trial)

    def whole_trials(
        self, study_id: int, names: Collection[str] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials of a study by number, with all user attributes, or those ``names``."""
        whole = self if self.held is None else Journal(self.url, self.file.path, held=names)
        return whole.get_all_trials(study_id, deepcopy=False)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one write; Optuna takes one for each."""
        with self.file.one_write():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
        super().get_trial(trial_id)  # reads what was written: a finished trial is refused here

    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a trial that runs wait again, and set user attributes of it, in one write."""
        with self.file.one_write():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
            self.set_trial_state_values(trial_id, TrialState.WAITING)
        super().get_trial(trial_id)

    def ended(self, identity: int, trial: FrozenTrial) -> FrozenTrial:
        """Return what is held here of ``trial``, which is over now."""
        del trial
        self._share()
        return self.get_trial(identity)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial, that which is kept if it is over; Optuna does so with all."""
        trial = super().get_trial(trial_id)
        return trial if trial.state.is_finished() else copy(trial)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return trials by number."""
        trials = self._kept(study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return deepcopied(trials) if deepcopy else trials

    def _kept(self, study_id: int) -> list[FrozenTrial]:
        """Return the trials that Optuna keeps of a study, by number."""
        trials = super().get_all_trials(study_id, deepcopy=False)
        self._share()
        return trials

    def _share(self) -> None:
        """Have trials that have ended hold once what is the same in them."""
        ended, self.file.ended = self.file.ended, []
        with self.file.one_write():  # of nothing: the file is not read for each of them
            for identity in ended:
                with suppress(KeyError):  # of a study that was deleted
                    trial = super().get_trial(identity)
                    self._distributions.share(trial)
                    if self.held is not None:
                        forget_begin(trial)


class _Together(threading.local):
    logs: list[dict[str, Any]] | None = None


class _File(JournalFileBackend):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.durable = True
        """Whether each append is flushed to the disk; else whoever sets it flushes at the end."""
        self.held: frozenset[str] | None = None
        """Names of the user attributes of trials that are given out; None: all."""
        self.ended: list[int] = []
        """Identities of trials whose ends were given out; whoever needs them clears it."""
        self._next = (0, 0)
        """Number of the first line that was not given out yet, and where it begins."""
        self._turnstile = JournalFileOpenLock(str(path))
        self._together = _Together()
        try:
            super().__init__(str(path), lock_obj=self._turnstile)
        except OSError as error:
            raise _unusable(path, error) from None

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Write what this thread appends inside at once, at the end; until then it reads nothing.

        If the block raises, nothing is written.
        """
        self._together.logs = []
        try:
            yield
            logs = self._together.logs
        finally:
            self._together.logs = None
        if logs:
            self.append_logs(logs)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if self._together.logs is not None:
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
            raise _damaged(self.path, error) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._together.logs is not None:
            self._together.logs += logs
            return
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode()
        try:
            with self.locked() as descriptor:
                end = _end_of_lines(descriptor)
                if end < self._next[1]:
                    raise _damaged(self.path, ValueError("it was cut short by another program"))
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
        descriptor = _open_locked(self.path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def check_lines(path: Path) -> None:
    """Check that every whole line of the journal is one: another program may have written there.

    Raises:
        StorageError: if one is not, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    json.loads(line)["op_code"]
    except OSError as error:
        raise _unusable(path, error) from None
    except _GARBAGE as error:
        raise _damaged(path, error) from None


def check_file(path: Path, *, create: bool) -> None:
    """Refuse a file that is no journal before anything is appended to it.

    Raises:
        StorageError: it is none, or is missing and not to be made.
    """
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
        raise Damaged(f"{path} is no Optuna journal; move it away or choose another storage")


def with_names(lines: bytes, names: Mapping[str, str]) -> bytes:
    """Return a journal's lines with other names of studies: new ones by old ones."""
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


def _only(held: frozenset[str], attributes: dict[str, Any]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in attributes.items() if name in held}


def _without(held: frozenset[str], log: dict[str, Any]) -> dict[str, Any]:
    """Return a line as if a trial had been given nothing of what is not ``held``."""
    if "trial_id" in log and "user_attr" in log and not held.issuperset(log["user_attr"]):
        # Optuna passes over what another process did to a trial that it does not know.
        return {**log, "trial_id": -1, "worker_id": ""}
    if log.get("user_attrs"):
        return {**log, "user_attrs": _only(held, log["user_attrs"])}
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
        os.close(descriptor)  # another file was put in its place while this one was waited for


def _end_of_lines(descriptor: int) -> int:
    """Return the size of the file up to and with its last line end."""
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
        f"{path}: {reason}; nothing is lost, but nothing more can be written or read there: set it"
        " right and run the same command again"
    )


def _damaged(path: Path, error: Exception) -> StorageError:
    said = " ".join(str(error).split())[:100]
    return Damaged(
        f"{path} is damaged ({type(error).__name__}: {said}); put a sound copy in its place, or"
        " begin anew (--fresh moves it aside)"
    )
