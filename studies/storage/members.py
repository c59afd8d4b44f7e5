"""Which of several supervisors of a study live (``--join``): each has a lease with a heartbeat."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from studies.core.attributes import PART
from studies.storage.base import locks_of
from studies.storage.process_identity import Lease, parse_lease

LIMIT = 600.0
"""Seconds without a heartbeat after which a member on another machine is believed dead."""

LIMIT_OF_LOCKS = 60.0  # the same if a server says that its lock is gone, too


@dataclass(frozen=True, kw_only=True)
class MemberLease:
    """The lease of one of several supervisors, dead or alive."""

    identity: str  # unique
    lease: Lease  # its process
    beat: float  # its last heartbeat, seconds since 1970 by its clock


def living_members(study: optuna.Study) -> dict[str, MemberLease]:
    """Return the living supervisors of a joined study by identity."""
    members = {}
    for name, value in study.user_attrs.items():
        member = _member(name, value)
        if member is not None and _lives(study, member):
            members[member.identity] = member
    return members


def lock_name(study: optuna.Study, what: str) -> str:
    """Return the name of a lock that belongs to ``study``: a member's, or the turn's."""
    return f"{study.study_name}/{what}"


def _lives(study: optuna.Study, member: MemberLease) -> bool:
    if not member.lease.elsewhere:
        return member.lease.live
    # A machine that slept may be believed dead, which is harmless: before a member ends a trial it
    # checks that it still owns it.
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
    lease = parse_lease(values)
    if lease is None or not isinstance(beat, int | float):
        return None
    return MemberLease(identity=name.removeprefix(PART), lease=lease, beat=float(beat))
