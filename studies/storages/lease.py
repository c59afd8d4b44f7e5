"""What shows of a process whether it still lives: a lease, see ``studies/storages/leases.py``."""

import os
import socket
from dataclasses import dataclass, field
from datetime import datetime

from studies.storages.processes import boot_id, pid_namespace, process_start


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
