"""How many bytes of main memory this process may still take: machine, container, its own limit."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


def free_memory(root: Path = Path("/")) -> int:
    """Return how many bytes of main memory processes may still take, without swapping.

    It is the least of what the machine has, what each control group around this process leaves
    (containers, batch systems), and what is left below its own limit (``ulimit -v``).
    """
    free = [int(psutil.virtual_memory().available), *_left_by_groups(root), *_left_by_limit()]
    return max(0, min(free))


def _left_by_groups(root: Path) -> Iterator[int]:
    mount = root / "sys/fs/cgroup"
    unified, memory = _own_groups(root)
    for top, path, limit, used, reclaimed in (
        (mount, unified, "memory.max", "memory.current", ("inactive_file", "active_file")),
        (
            mount / "memory",
            memory,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            ("total_inactive_file", "total_active_file"),
        ),
    ):
        # A limit on any group above holds, too. In a container the path may be the host's.
        here = top / path
        for group in (here, *here.parents):
            with contextlib.suppress(OSError, ValueError):  # no such group; "max": no limit
                left = int((group / limit).read_text()) - int((group / used).read_text())
                yield left + _cached(group / "memory.stat", reclaimed)
            if group == top:
                break


def _own_groups(root: Path) -> tuple[str, str]:
    """Return the paths of this process's groups: of cgroup v2, and of v1's memory controller."""
    unified = memory = ""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            path = path.lstrip("/")
            if ".." in path:  # outside the namespace: only what is mounted can be seen
                continue
            if number == "0" and not controllers:
                unified = path
            elif "memory" in controllers.split(","):
                memory = path
    return unified, memory


def _cached(stat: Path, names: tuple[str, ...]) -> int:
    """Return the bytes of files that the kernel gives back before it refuses memory."""
    # Without them a group that has read 60,000 pictures would seem to be full.
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for line in stat.read_text().splitlines():
            name, _, count = line.partition(" ")
            total += int(count) if name in names else 0
    return total


def _left_by_limit() -> Iterator[int]:
    with contextlib.suppress(ImportError, OSError, ValueError):  # only on POSIX
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - psutil.Process().memory_info().vms
