"""Leases: which process supervises a study, and whether it still lives.

A lease names a process so that no other process can be mistaken for it. So a killed holder on this
machine is detected on the next check, without heartbeat or time-out. A server (``Locks``) knows by
itself whether a holder on any machine lives. In a file on a shared disk, a holder on another
machine is believed to live until a person takes the study over (``--take-over``): by a heartbeat, a
machine that sleeps would seem dead, and two processes would write.

Several supervisors (``--join``) have a lease with a heartbeat each; there two processes may write.
"""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import optuna

from mnist_core.errors import UserError
from studies.core.attributes import LEASE, PART
from studies.storage.optuna_internals import backend_of
from studies.storage.process_identity import boot_id, pid_namespace, process_start


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A process that supervises a study.

    Attributes:
        host: name of its machine.
        pid: its process id there.
        start: of the process: clock ticks after boot (Linux), else seconds after 1970.
        boot: the boot of the machine that ``pid`` and ``start`` belong to.
        taken: when the lease was taken, ISO 8601, local time.
        namespace: of the ``pid``, see ``pid_namespace``; "": not known.
        locked: whether the storage says that the holder lives; None: the storage cannot know.
    """

    host: str
    pid: int
    start: str
    boot: str
    taken: str
    namespace: str = ""
    locked: bool | None = field(default=None, compare=False)

    @classmethod
    def of_this_process(cls) -> "Lease":
        """Return a lease for the calling process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid=pid,
            start=process_start(pid) or "",
            boot=boot_id(),
            taken=datetime.now().isoformat(timespec="seconds"),
            namespace=pid_namespace(),
        )

    @property
    def here(self) -> bool:
        """Whether the holder's process can be seen from here, if it lives."""
        if self.host != socket.gethostname():
            return False
        # Containers may have the same host name. A reboot ended everything before it.
        same = self.namespace in ("", pid_namespace())
        return same or self.boot != boot_id()

    @property
    def elsewhere(self) -> bool:
        """Whether the holder is on another machine or in another container, and has no lock."""
        return self.locked is None and not self.here

    @property
    def live(self) -> bool:
        """Whether the holder still runs; one elsewhere is believed to."""
        if self.locked is not None:
            return self.locked
        if self.elsewhere:
            return True
        return self.boot == boot_id() and self.start == process_start(self.pid)


LIMIT = 600.0
"""Seconds without a heartbeat after which a member on another machine is believed dead."""

LIMIT_OF_LOCKS = 60.0
"""The same if a server says that its lock is gone, too."""


class StudyInUse(UserError):
    """Another living process supervises the study."""


class TurnLost(Exception):
    """The lock of a turn was lost with the connection to the server.

    Other members may have had a turn since: look at the storage and do the work again.
    """


@runtime_checkable
class Locks(Protocol):
    """A storage that knows whether the supervisor of a study lives, wherever it runs."""

    def lock(self, study_name: str, *, turn: bool = False) -> bool:
        """Lock the study while the storage is open; return whether it was free.

        With ``turn`` the lock is not taken again after a lost connection: the call that meets it
        raises ``TurnLost``.
        """

    def unlock(self, study_name: str) -> None:
        """Release the lock."""

    def is_locked(self, study_name: str) -> bool:
        """Return whether a process holds the lock."""

    def evict(self, study_name: str) -> None:
        """Take the lock from its holder."""


@dataclass(frozen=True, kw_only=True)
class MemberLease:
    """The lease of one of several supervisors, dead or alive.

    Attributes:
        identity: unique.
        lease: its process.
        beat: its last heartbeat, seconds since 1970 by its clock.
    """

    identity: str
    lease: Lease
    beat: float


def read_lease(study: optuna.Study) -> Lease | None:
    """Return the lease on ``study``, by default that of a living member, or None."""
    sole = _sole(study)
    if sole is not None:
        return sole
    return next((member.lease for member in living_members(study).values()), None)


def living_members(study: optuna.Study) -> dict[str, MemberLease]:
    """Return the living supervisors of a joined study by identity.

    On this machine a member lives if its process does. On another machine it lives if its heartbeat
    is fresh (``LIMIT``, ``LIMIT_OF_LOCKS``) or its lock is held. A machine that slept may be
    believed dead, which is harmless: before a member ends a trial it checks that it still owns it.
    """
    members = {}
    for name, value in study.user_attrs.items():
        member = _member(name, value)
        if member is not None and _lives(study, member):
            members[member.identity] = member
    return members


def lock_name(study: optuna.Study, what: str) -> str:
    """Return the name of a lock that belongs to ``study``: a member's, or the turn's."""
    return f"{study.study_name}/{what}"


def sole_supervisor(study: optuna.Study) -> Lease | None:
    """Return the living process that supervises ``study`` alone, or None."""
    lease = _sole(study)
    return lease if lease is not None and lease.live else None


def supervisor(study: optuna.Study) -> Lease | None:
    """Return a living supervisor of ``study``, or None: then none of its trials runs."""
    lease = read_lease(study)
    return lease if lease is not None and lease.live else None


def take(study: optuna.Study, *, force: bool = False) -> Lease:
    """Take the lease on ``study`` for this process; call it under ``exclusive``.

    Args:
        study: an open study.
        force: take it also from a holder on another machine.

    Raises:
        StudyInUse: if another living process holds it.
    """
    mine = Lease.of_this_process()
    locks = locks_of(study)
    if locks is None:
        held = sole_supervisor(study)
        if held is not None and not _same_process(held, mine) and not (force and held.elsewhere):
            raise _in_use(study, held)
    elif not locks.lock(study.study_name):
        held = _sole(study)
        if force and held is not None and not held.here:
            locks.evict(study.study_name)
        if not locks.lock(study.study_name):
            raise _in_use(study, held)
    for member in living_members(study).values():
        if not (force and member.lease.elsewhere):
            if locks is not None:
                locks.unlock(study.study_name)
            raise StudyInUse(
                f"study {study.study_name!r} is being run by process {member.lease.pid} on"
                f" {member.lease.host} since {member.lease.taken}; it may be joined: --join"
            )
    study.set_user_attr(LEASE, to_attribute(mine))
    return mine


def release(study: optuna.Study, lease: Lease) -> None:
    """Release ``lease``, unless another process has taken the study meanwhile."""
    if _sole(study) == lease:
        study.set_user_attr(LEASE, None)
    locks = locks_of(study)
    if locks is not None:
        locks.unlock(study.study_name)


def locks_of(study: optuna.Study) -> Locks | None:
    """Return the study's storage if it has locks, else None."""
    storage = backend_of(study)
    return storage if isinstance(storage, Locks) else None


def _in_use(study: optuna.Study, held: Lease | None) -> StudyInUse:
    name = study.study_name
    if held is None:
        return StudyInUse(f"study {name!r} is being run by another process; wait for it")
    if held.here:
        return StudyInUse(
            f"study {name!r} is being run by process {held.pid} since {held.taken}; wait for it,"
            f" or stop it (kill {held.pid}) and run again"
        )
    fate = (
        "it is connected to the database; stop it there, or take the study over (--take-over)"
        if held.locked
        else "if that process is gone, take the study over (--take-over)"
    )
    container = "in another container of " if held.host == socket.gethostname() else ""
    return StudyInUse(
        f"study {name!r} is being run {container or 'on '}{held.host} (process {held.pid}) since"
        f" {held.taken}; {fate}"
    )


def to_attribute(lease: Lease) -> dict[str, Any]:
    """Return ``lease`` as JSON."""
    values = asdict(lease)
    del values["locked"]
    return values


def _same_process(one: Lease, other: Lease) -> bool:
    same = replace(other, taken=one.taken, locked=None)
    return one == same


def _sole(study: optuna.Study) -> Lease | None:
    lease = _parse(study.user_attrs.get(LEASE))
    locks = locks_of(study)
    if lease is None or locks is None:
        return lease
    return replace(lease, locked=locks.is_locked(study.study_name))


def _lives(study: optuna.Study, member: MemberLease) -> bool:
    if not member.lease.elsewhere:
        return member.lease.live
    age = time.time() - member.beat
    locks = locks_of(study)
    if locks is None:
        return age <= LIMIT
    return age <= LIMIT_OF_LOCKS or locks.is_locked(lock_name(study, member.identity))


def _member(name: str, value: Any) -> MemberLease | None:
    if not name.startswith(PART) or not isinstance(value, Mapping):
        return None
    values = dict(value)
    beat = values.pop("beat", None)
    lease = _parse(values)
    if lease is None or not isinstance(beat, int | float):
        return None
    return MemberLease(identity=name.removeprefix(PART), lease=lease, beat=float(beat))


def _parse(value: Any) -> Lease | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return Lease(**{**value, "locked": None})
    except TypeError:
        return None
