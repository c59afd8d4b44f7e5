"""Hosts to test with, on this machine: each with its own network, name, processes and ``/tmp``.

They are Linux namespaces, so root is needed, ``ip`` of iproute2, and ``unshare`` and ``nsenter`` of
util-linux. All hosts are plugged into one switch. What they share is the file system below the
folders that are not theirs, and the processors.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SWITCH, _HOST = "study-switch", "study-host"
_NEEDED = ("ip", "unshare", "nsenter", "setpriv")
_NETWORK = "10.77.0"


@dataclass(frozen=True)
class Host:
    """One of them.

    Attributes:
        name: its host name.
        address: of its only network card, IPv4.
        folder: its own; ``folder / "tmp"`` is its ``/tmp``.
        pid: of the process that holds its namespaces, as this machine counts.
    """

    name: str
    address: str
    folder: Path
    pid: int

    def start(
        self,
        command: Sequence[object],
        *,
        output: IO[bytes],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a program there; ``folder`` is where it works, this process's by default."""
        inside = ["nsenter", "-t", str(self.pid), "--net", "--uts", "--mount", "--pid"]
        inside += [f"--wdns={folder or Path.cwd()}"]
        return subprocess.Popen(
            [*inside, *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )

    def unplug(self, *, again: bool = False) -> None:
        """Take its cable out of the switch, or put it in again."""
        _ip("-n", _SWITCH, "link", "set", _cable(self.name), "up" if again else "down")


def why_not() -> str:
    """Return why there can be no such hosts on this machine; "": there can be."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "namespaces need Linux and root"
    lacking = [name for name in _NEEDED if shutil.which(name) is None]
    return f"{', '.join(lacking)} missing (iproute2, util-linux)" if lacking else ""


@contextmanager
def hosts(count: int, folder: Path) -> Iterator[list[Host]]:
    """Make ``count`` hosts, whose own folders lie in ``folder``; they end with all that runs there.

    Raises:
        OSError: if the machine cannot have them.
    """
    if reason := why_not():
        raise OSError(reason)
    _forget_killed()
    with ExitStack() as stack:
        _ip("netns", "add", _SWITCH)
        stack.callback(_ip, "netns", "del", _SWITCH)
        _ip("-n", _SWITCH, "link", "add", "bridge", "type", "bridge")
        _ip("-n", _SWITCH, "link", "set", "bridge", "up")
        yield [_host(stack, number, folder) for number in range(1, count + 1)]


def _forget_killed() -> None:
    """Remove the names of networks that a killed process left behind."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name == _SWITCH or name.startswith(_HOST):
            _ip("netns", "del", name)


def _host(stack: ExitStack, number: int, folder: Path) -> Host:
    name, address = f"{_HOST}{number}", f"{_NETWORK}.{number}"
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "del", name)
    ends = ["type", "veth", "peer", "name", "eth0", "netns", name]
    _ip("-n", _SWITCH, "link", "add", _cable(name), *ends)
    _ip("-n", _SWITCH, "link", "set", _cable(name), "master", "bridge", "up")
    for arguments in (
        ["address", "add", f"{address}/24", "dev", "eth0"],
        ["link", "set", "eth0", "up"],
        ["link", "set", "lo", "up"],
    ):
        _ip("-n", name, *arguments)
    own = folder / name
    (own / "tmp").mkdir(parents=True)
    apart = ["unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    begin = 'hostname "$0" && mount --bind "$1" /tmp && mount -t tmpfs tmpfs /dev/shm'
    begin += " && echo ready && exec sleep infinity"
    # A host ends with this process, also if that is killed.
    there = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", name]
    holder = subprocess.Popen(
        [*there, *apart, "sh", "-c", begin, name, str(own / "tmp")],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    stack.callback(holder.wait)
    stack.callback(holder.kill)  # with it all of its processes
    assert holder.stdout is not None
    if holder.stdout.readline().strip() != b"ready":
        raise OSError(f"{name} did not start")
    [inside] = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
    return Host(name=name, address=address, folder=own, pid=int(inside))


def _cable(name: str) -> str:
    return name.removeprefix("study-")  # names of network cards have at most 15 letters


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
