"""Several supervisors on one study (``--join``): membership, and turns.

Each member keeps a lease of its own with the study, and a heartbeat in it, see ``members``. Trials
start, end and are reset in *turns*: under a lock of the server's, or of a file beside the journal.
"""

import functools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from mnist_core.errors import UserError
from studies.core.attributes import PART, STOPPED
from studies.storage.base import TurnLost, locks_of
from studies.storage.leases import StudyInUse, sole_supervisor
from studies.storage.members import MemberLease, living_members, lock_name
from studies.storage.open import Storage, exclusive
from studies.storage.process_identity import Lease, to_attribute
from studies.storage.url import is_joinable

BEAT = 15.0  # seconds between two heartbeats
_PAUSE = 0.02  # seconds between two tries to have the turn

_TRIAL_WRITES = frozenset(
    {
        "set_trial_intermediate_value",
        "set_trial_intermediate_values",
        "set_trial_user_attr",
        "set_trial_user_attrs",
        "set_trial_system_attr",
    }
)

T = TypeVar("T")


class Member:
    """This process as one of the supervisors of a study; ``join_study`` makes it."""

    def __init__(self, study: optuna.Study, storage: Storage) -> None:
        self.identity = uuid.uuid4().hex[:12]  # unique among the members
        self.lease = Lease.of_this_process()  # of this process
        self._study = study
        self._storage = storage
        self._beaten = 0.0
        self._has_turn = False

    def beat(self) -> None:
        """Write a heartbeat if the last one is ``BEAT`` seconds old."""
        now = time.monotonic()
        if not self._beaten or now - self._beaten >= BEAT:
            self._beaten = now
            value = {**to_attribute(self.lease), "beat": time.time()}
            self._study.set_user_attr(f"{PART}{self.identity}", value)

    def living(self) -> dict[str, MemberLease]:
        """Return the living members by identity, this one too."""
        return living_members(self._study)

    def leave(self) -> None:
        """Leave the study."""
        self._study.set_user_attr(f"{PART}{self.identity}", None)
        locks = locks_of(self._study)
        if locks is not None:
            locks.unlock(lock_name(self._study, self.identity))

    def in_turn(self, do: Callable[[], T]) -> T:
        """Call ``do`` while the other members are kept out, and return its result.

        Within a turn the same turn is used. If the turn is lost with the server, ``do`` is called
        again, so it begins with a look at the storage.
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


def join_study(study: optuna.Study, storage: Storage) -> Member:
    """Return this process as a member of ``study``; do not call it under ``exclusive``.

    The first member removes the reason why an earlier search was stopped.

    Raises:
        UserError: if several processes cannot write to the storage.
        StudyInUse: if a living process runs the study alone.
    """
    check_joinable(storage.url)
    member = Member(study, storage)
    locks = locks_of(study)

    def join() -> None:
        if locks is not None:
            locks.lock(lock_name(study, member.identity))
        member.beat()
        holder = sole_supervisor(study)
        # A process that starts to run the study alone has the lock before the lease.
        if holder is not None or (locks is not None and locks.is_locked(study.study_name)):
            member.leave()
            who = "another process" if holder is None else f"process {holder.pid} on {holder.host}"
            raise StudyInUse(
                f"--join: {who} runs study {study.study_name!r} alone; stop it there and run it"
                " again with --join, then all can take part"
            )
        if len(member.living()) < 2 and study.user_attrs.get(STOPPED) is not None:
            study.set_user_attr(STOPPED, None)

    member.in_turn(join)
    return member


def check_joinable(url: str) -> None:
    """Raise ``UserError`` unless several processes can write to the storage at ``url``."""
    if not is_joinable(url):
        raise UserError(
            "--join: in SQLite one process at a time writes a study; set storage.url to"
            " postgresql+psycopg://… or journal:///FILE (on a disk that all machines share)"
        )


@contextmanager
def _turn(study: optuna.Study, storage: Storage) -> Iterator[None]:
    locks = locks_of(study)
    if locks is None:
        with exclusive(storage.url):
            yield
        return
    name = lock_name(study, "turn")
    while not locks.lock(name, turn=True):
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        locks.unlock(name)


class WriteGuard:
    """A storage that does not write to trials that were taken away from this process."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.gone: set[int] = set()  # identities of those trials

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._storage, name)
        return functools.partial(self._write, call) if name in _TRIAL_WRITES else call

    def _write(self, call: Callable[..., None], trial_id: int, *arguments: Any) -> None:
        if trial_id in self.gone:
            return
        try:
            call(trial_id, *arguments)
        except UpdateFinishedTrialError:  # taken away, run and ended since the last look
            self.gone.add(trial_id)
