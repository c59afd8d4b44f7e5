"""Several supervisors on one study (``--join``): who takes part, who still lives, whose turn it is.

Each supervisor that takes part keeps a lease of its own with the study, and writes the time of day
into it every ``BEAT`` seconds. Whether it lives is decided by whoever looks:

* On the same machine by its process: a killed one is gone at once.
* On another machine it is gone when its heartbeat is older than ``leases.LIMIT`` seconds; where a
  server keeps the study, when its lock there is gone and its heartbeat is older than
  ``leases.LIMIT_OF_LOCKS``.

A machine that slept, or whose clock is wrong, may be taken for dead while it lives. It is no harm:
whoever ends a trial looks first whether it is still its own (``studies/ledger/joining.py``).

What must not happen twice at a time (a trial is begun, ended, put back) is done in *turns*: under a
lock of the server's, or of a file beside the journal. When the server restarts within a turn, the
turn is over, and what was done in it is done anew in the next one.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import optuna

from mnist_core.errors import UserError
from studies.core.attributes import PART, STOPPED
from studies.storage import leases
from studies.storage.leases import Lease, StudyInUse, TurnLost
from studies.storage.open import Journal, Storage, exclusive, sqlite_path

BEAT = 15.0
"""Seconds between two heartbeats."""

_PAUSE = 0.02
"""Seconds between two tries to have the turn."""

T = TypeVar("T")


class Part:
    """This process's part in a study.

    Make it with ``take_part``.

    Args:
        study: the study.
        storage: the storage of ``study``.

    Attributes:
        identity: of this part.
        lease: of this process.
    """

    def __init__(self, study: optuna.Study, storage: Storage) -> None:
        self.identity = uuid.uuid4().hex[:12]
        self.lease = Lease.of_this_process()
        self._study = study
        self._storage = storage
        self._beaten = 0.0
        self._has_turn = False

    def beat(self) -> None:
        """Write a heartbeat, if the last one is ``BEAT`` seconds ago."""
        now = time.monotonic()
        if not self._beaten or now - self._beaten >= BEAT:
            self._beaten = now
            value = {**leases.to_attribute(self.lease), "beat": time.time()}
            self._study.set_user_attr(f"{PART}{self.identity}", value)

    def living(self) -> dict[str, leases.Member]:
        """Return who takes part and lives, this process too, by identity."""
        return leases.living(self._study)

    def leave(self) -> None:
        """Take part no more."""
        self._study.set_user_attr(f"{PART}{self.identity}", None)
        locks = leases.locks_of(self._study)
        if locks is not None:
            locks.unlock(leases.lock_name(self._study, self.identity))

    def in_turn(self, do: Callable[[], T]) -> T:
        """Return what ``do`` returns while the others are kept out; in a turn, in the same turn.

        Args:
            do: it is called again when the turn is lost, so it begins with a look at what is there.
        """
        while not self._has_turn:
            try:
                with _turn(self._study, self._storage):
                    self._has_turn = True
                    return do()
            except TurnLost:
                continue
            finally:
                self._has_turn = False
        return do()


def take_part(study: optuna.Study, storage: Storage) -> Part:
    """Take part in ``study``, in a turn of its own; not under ``storage.exclusive``.

    The first one forgets why an earlier search was stopped: what is found there later is of those
    who take part now.

    Raises:
        UserError: the storage is not one that several may write to.
        StudyInUse: a living process has the study to itself.
    """
    check_joinable(storage.url)
    part = Part(study, storage)
    locks = leases.locks_of(study)

    def take() -> None:
        if locks is not None:
            locks.lock(leases.lock_name(study, part.identity))
        part.beat()
        holder = leases.sole_supervisor(study)
        # Who begins to run it alone has the lock before the lease.
        if holder is not None or (locks is not None and locks.is_locked(study.study_name)):
            part.leave()
            who = "another process" if holder is None else f"process {holder.pid} on {holder.host}"
            raise StudyInUse(
                f"--join: {who} runs study {study.study_name!r} for itself; stop it there and run"
                " it again with --join, then all can take part"
            )
        if len(part.living()) < 2 and study.user_attrs.get(STOPPED) is not None:
            study.set_user_attr(STOPPED, None)

    part.in_turn(take)
    return part


def check_joinable(url: str) -> None:
    """Check that several may write to the storage at ``url``.

    Raises:
        UserError: it is of a kind that one process writes.
    """
    if sqlite_path(url) is not None:
        raise UserError(
            "--join: in SQLite one process at a time writes a study; set storage.url to"
            " postgresql+psycopg://… or journal:///FILE (on a disk that all machines share)"
        )


@contextmanager
def _turn(study: optuna.Study, storage: Storage) -> Iterator[None]:
    if isinstance(storage, Journal):
        with exclusive(storage.url):
            yield
        return
    locks = leases.locks_of(study)
    assert locks is not None
    name = leases.lock_name(study, "turn")
    while not locks.lock(name, turn=True):
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        locks.unlock(name)
