"""Who supervises a study: a lease, stored in the study, that shows whether its holder still lives.

A process id alone proves nothing, it may have been given to another process since. A lease also
holds the host, its boot and the start of the process, so a holder that was killed is known to be
gone the moment somebody looks; no heartbeat is written and no time-out awaited. The time of day
plays no part.

From another machine, or from another container of this one, a process cannot be looked at. A
storage on a server (``Locks``) knows by itself whether the holder lives: it holds a lock there that
ends with its connection. In a file on a shared disk a holder elsewhere is taken to live until a
person says otherwise (``--take-over``): a heartbeat would take a machine that is asleep or cut off
for a dead one, and two would write.

Where several supervise a study together (``--join``, see ``parts.py``) each has a
lease of its own, with a heartbeat: there two may write.
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
    """One process that supervises a study.

    Attributes:
        host: name of its machine.
        pid: its process id there.
        start: when the process began: clock ticks after boot (Linux), else seconds after 1970.
        boot: identifies the boot of the machine that ``pid`` and ``start`` belong to.
        taken: when the lease was taken, ISO 8601, local time.
        namespace: what its ``pid`` is of, see ``pid_namespace``; "": not known.
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
        """Whether the holder ran where its process could be seen from here."""
        if self.host != socket.gethostname():
            return False
        # Containers may share the name of their host. What was there before a reboot is gone.
        same = self.namespace in ("", pid_namespace())
        return same or self.boot != boot_id()

    @property
    def elsewhere(self) -> bool:
        """Whether the holder ran on another machine, so that only a person knows of its fate.

        So it is for another container of this machine.
        """
        return self.locked is None and not self.here

    @property
    def live(self) -> bool:
        """Whether the holder still runs; a holder on another machine is taken to."""
        if self.locked is not None:
            return self.locked
        if self.elsewhere:
            return True
        return self.boot == boot_id() and self.start == process_start(self.pid)


LIMIT = 600.0
"""Seconds without a heartbeat after which one of several supervisors on another machine is gone."""

LIMIT_OF_LOCKS = 60.0
"""The same, where a server says that its lock is gone, too."""


class StudyInUse(UserError):
    """Another living process supervises the study."""


class TurnLost(Exception):
    """The lock of a turn went with the connection to the server: others may have had theirs since.

    What was being done is to be done anew, after a look at what they did.
    """


@runtime_checkable
class Locks(Protocol):
    """A storage that itself knows whether the supervisor of a study lives, wherever it runs."""

    def lock(self, study_name: str, *, turn: bool = False) -> bool:
        """Lock the study for as long as the storage is open; return whether it could be had.

        With ``turn`` the lock is one that is not taken again when the connection is lost: the call
        that meets it raises ``TurnLost``.
        """

    def unlock(self, study_name: str) -> None:
        """Give the lock up."""

    def is_locked(self, study_name: str) -> bool:
        """Return whether anybody holds the lock."""

    def evict(self, study_name: str) -> None:
        """Take the lock from whoever holds it."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of several that supervise a study together, dead or alive.

    Attributes:
        identity: of it, unique.
        lease: its process.
        beat: its last heartbeat, seconds since 1970 by its clock.
    """

    identity: str
    lease: Lease
    beat: float


def read_lease(study: optuna.Study) -> Lease | None:
    """Return the lease on ``study``, or None when nobody holds a readable one.

    Where several supervise it together, that of one who lives.
    """
    sole = _sole(study)
    if sole is not None:
        return sole
    return next((member.lease for member in living(study).values()), None)


def living(study: optuna.Study) -> dict[str, Member]:
    """Return who supervises ``study`` together with others and lives, by identity."""
    members = {}
    for name, value in study.user_attrs.items():
        member = _member(name, value)
        if member is not None and _lives(study, member):
            members[member.identity] = member
    return members


def lock_name(study: optuna.Study, what: str) -> str:
    """Return the name of a lock that belongs to ``study``: of a part in it, of the turn."""
    return f"{study.study_name}/{what}"


def sole_supervisor(study: optuna.Study) -> Lease | None:
    """Return who supervises ``study`` alone, or None."""
    lease = _sole(study)
    return lease if lease is not None and lease.live else None


def supervisor(study: optuna.Study) -> Lease | None:
    """Return who supervises ``study`` now, or None: then none of its trials runs."""
    lease = read_lease(study)
    return lease if lease is not None and lease.live else None


def take(study: optuna.Study, *, force: bool = False) -> Lease:
    """Take the lease on ``study`` for this process.

    Call it under ``storage.exclusive``, as it looks first and writes then.

    Args:
        study: an open study.
        force: take it also from a holder on another machine.

    Raises:
        StudyInUse: another living process holds it.
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
    for member in living(study).values():
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
    """Give ``lease`` up; does nothing when another process has taken the study meanwhile."""
    if _sole(study) == lease:
        study.set_user_attr(LEASE, None)
    locks = locks_of(study)
    if locks is not None:
        locks.unlock(study.study_name)


def locks_of(study: optuna.Study) -> Locks | None:
    """Return the study's storage, if it knows by itself who lives."""
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
        f" {held.taken};"
        f" {fate}"
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


def _lives(study: optuna.Study, member: Member) -> bool:
    if not member.lease.elsewhere:
        return member.lease.live
    age = time.time() - member.beat
    locks = locks_of(study)
    if locks is None:
        return age <= LIMIT
    return age <= LIMIT_OF_LOCKS or locks.is_locked(lock_name(study, member.identity))


def _member(name: str, value: Any) -> Member | None:
    if not name.startswith(PART) or not isinstance(value, Mapping):
        return None
    values = dict(value)
    beat = values.pop("beat", None)
    lease = _parse(values)
    if lease is None or not isinstance(beat, int | float):
        return None
    return Member(identity=name.removeprefix(PART), lease=lease, beat=float(beat))


def _parse(value: Any) -> Lease | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return Lease(**{**value, "locked": None})
    except TypeError:
        return None
