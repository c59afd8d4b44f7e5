"""Leases: which process supervises a study alone, and how another one takes the study."""

import socket
from dataclasses import replace

import optuna

from mnist_core.errors import UserError
from studies.core.attributes import LEASE
from studies.storage.base import locks_of
from studies.storage.members import living_members
from studies.storage.process_identity import Lease, parse_lease, to_attribute

__all__ = [
    "Lease",
    "StudyInUse",
    "check_idle",
    "read_lease",
    "release",
    "sole_supervisor",
    "supervisor",
    "take",
]


class StudyInUse(UserError):
    """Another living process supervises the study."""


def read_lease(study: optuna.Study) -> Lease | None:
    """Return the lease on ``study``, by default that of a living member, or None."""
    sole = _sole(study)
    if sole is not None:
        return sole
    return next((member.lease for member in living_members(study).values()), None)


def sole_supervisor(study: optuna.Study) -> Lease | None:
    """Return the living process that supervises ``study`` alone, or None."""
    lease = _sole(study)
    return lease if lease is not None and lease.live else None


def supervisor(study: optuna.Study) -> Lease | None:
    """Return a living supervisor of ``study``, or None: then none of its trials runs."""
    lease = read_lease(study)
    return lease if lease is not None and lease.live else None


def check_idle(study: optuna.Study, what: str) -> None:
    """Raise ``StudyInUse`` if a living process runs ``study``; it must stop before ``what``."""
    holder = supervisor(study)
    if holder is not None:
        raise StudyInUse(
            f"study {study.study_name!r} is being run by process {holder.pid} on {holder.host};"
            f" stop it before you {what}"
        )


def take(study: optuna.Study, *, force: bool = False) -> Lease:
    """Take the lease on ``study`` for this process; call it under ``exclusive``.

    Args:
        force: take it also from a holder on another machine.

    Raises:
        StudyInUse: if another living process holds it.
    """
    mine = Lease.of_this_process()
    locks = locks_of(study)
    if locks is None:
        held = sole_supervisor(study)
        same = held is not None and replace(held, taken=mine.taken, locked=None) == mine
        if held is not None and not same and not (force and held.elsewhere):
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


def _sole(study: optuna.Study) -> Lease | None:
    lease = parse_lease(study.user_attrs.get(LEASE))
    locks = locks_of(study)
    if lease is None or locks is None:
        return lease
    return replace(lease, locked=locks.is_locked(study.study_name))
