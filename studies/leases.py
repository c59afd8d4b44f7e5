"""Who supervises a study: a lease, stored in the study, that shows whether its holder still lives.

A process id alone proves nothing, it may have been given to another process since. A lease also
holds the host, its boot and the start of the process, so a holder that was killed is known to be
gone the moment somebody looks; no heartbeat is written and no time-out awaited.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import psutil

from mnist_core.errors import UserError

LEASE = "lease"
"""The study's user attribute that holds the lease, or None."""


class StudyInUse(UserError):
    """Another living process supervises the study."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One process that supervises a study.

    Attributes:
        host: name of its machine.
        pid: its process id there.
        start: when the process began: clock ticks after boot (Linux), else seconds after 1970.
        boot: identifies the boot of the machine that ``pid`` and ``start`` belong to.
        taken: when the lease was taken, ISO 8601, local time.
    """

    host: str
    pid: int
    start: str
    boot: str
    taken: str

    @classmethod
    def of_this_process(cls) -> "Lease":
        """Return a lease for the calling process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid=pid,
            start=_process_start(pid) or "",
            boot=_boot_id(),
            taken=datetime.now().isoformat(timespec="seconds"),
        )

    @property
    def elsewhere(self) -> bool:
        """Whether the holder ran on another machine, so that only a person knows of its fate."""
        return self.host != socket.gethostname()

    @property
    def live(self) -> bool:
        """Whether the holder still runs; a holder on another machine is taken to."""
        if self.elsewhere:
            return True
        return self.boot == _boot_id() and self.start == _process_start(self.pid)


def read_lease(study: optuna.Study) -> Lease | None:
    """Return the lease on ``study``, or None when nobody holds a readable one."""
    return _parse(study.user_attrs.get(LEASE))


def supervisor(study: optuna.Study) -> Lease | None:
    """Return who supervises ``study`` now, or None: then none of its trials runs."""
    lease = read_lease(study)
    return lease if lease is not None and lease.live else None


def take(study: optuna.Study, *, force: bool = False) -> Lease:
    """Take the lease on ``study`` for this process.

    Call it under ``storage.exclusive``, as it looks first and writes then.

    Args:
        study: an open study.
        force: take it also from a holder on another machine, which cannot be looked at.

    Raises:
        StudyInUse: another living process holds it.
    """
    mine = Lease.of_this_process()
    held = supervisor(study)
    if held is not None and not _same_process(held, mine):
        if not held.elsewhere:
            raise StudyInUse(
                f"study {study.study_name!r} is being run by process {held.pid} since "
                f"{held.taken}; wait for it, or stop it (kill {held.pid}) and run again"
            )
        if not force:
            raise StudyInUse(
                f"study {study.study_name!r} is being run on {held.host} (process {held.pid}) "
                f"since {held.taken}; if that process is gone, take the study over (--take-over)"
            )
    study.set_user_attr(LEASE, asdict(mine))
    return mine


def release(study: optuna.Study, lease: Lease) -> None:
    """Give ``lease`` up; does nothing when another process has taken the study meanwhile."""
    if read_lease(study) == lease:
        study.set_user_attr(LEASE, None)


def _same_process(one: Lease, other: Lease) -> bool:
    return (one.host, one.pid, one.start, one.boot) == (
        other.host,
        other.pid,
        other.start,
        other.boot,
    )


def _parse(value: Any) -> Lease | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return Lease(**value)
    except TypeError:
        return None


def _process_start(pid: int) -> str | None:
    """Return when process ``pid`` began, or None if there is none (a zombie is none)."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # The command, in parentheses, may itself hold spaces and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, start = fields[0], fields[19]
        return None if state in "ZX" else start
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # Minutes: where the system gives no identifier, the boot time wanders with the clock.
        return f"{psutil.boot_time() / 60:.0f}"
