"""The nodes of a cluster: what a trial takes of one, and what is checked before the first trial."""

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.errors import UserError

_ANSWER = 180.0
"""Seconds for all nodes to answer; the first call on a node also fetches the code."""

_CONNECT = 5.0
"""Seconds until an address counts as unreachable."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one trial takes of a node.

    Attributes:
        gpus: GPUs, or a fraction of one.
        memory: bytes of main memory; Ray counts what is claimed, not what is used.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    def resources(self) -> dict[str, float]:
        """Return it as Tune takes it."""
        amounts = {"cpu": self.cpus, "gpu": self.gpus, "memory": self.memory}
        return {name: amount for name, amount in amounts.items() if amount or name == "cpu"}

    def options(self) -> dict[str, float]:
        """Return it as options of a Ray task."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory or None}  # type: ignore[dict-item]

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many fit into a node with ``resources``."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        counts = [
            # 0.3 / 0.1 is 2.999… in floating point.
            int(resources.get(name, 0.0) / amount + 1e-6)
            for name, amount in wanted.items()
            if amount
        ]
        return min(counts, default=1)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"]
        if self.gpus:
            parts.append(f"{self.gpus:g} GPU")
        if self.memory:
            parts.append(f"{self.memory / 1024**3:g} GiB")
        return " + ".join(parts)


def described(resources: Mapping[str, float]) -> str:
    """Return the resources of a node as text."""
    parts = [f"{resources.get('CPU', 0):g} CPU"]
    if resources.get("GPU"):
        parts.append(f"{resources['GPU']:g} GPU")
    parts.append(f"{resources.get('memory', 0) / 1024**3:.1f} GiB")
    return " + ".join(parts)


def living_nodes() -> list[dict[str, Any]]:
    """Return the cluster's living nodes, as ``ray.nodes()`` describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def check_reachable(address: str) -> None:
    """Check that something answers at ``address``, which is host:port.

    Raises:
        UserError: if nothing answers, or it is not such an address.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
        raise UserError(
            f"engine.ray.address: expected auto or host:port (6379 is Ray's port), got {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError, ValueError) as error:  # ValueError: not the name of a host
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"engine.ray.address: nothing answers at {address} ({reason}); is the head node up, and"
            " is this its address?"
        ) from None


def check_shared_folder(folder: Path) -> None:
    """Check that every node sees the files in ``folder``; UserError: if one does not."""
    # To look for a new file is the only sure way: the same path may exist on each node.
    mark = folder / f".shared-{secrets.token_hex(8)}"
    mark.touch()
    try:
        seen = on_every_node(os.path.exists, str(mark))
    finally:
        mark.unlink()
    blind = dict.fromkeys(address for address, sees in seen if sees is not True)
    if blind:
        raise UserError(
            f"results.folder: {folder} is not the same folder on {', '.join(blind)}, so models"
            " would be lost there; set results.folder to storage that all nodes share (NFS, EFS …)"
        )


def check_modules(modules: Sequence[str]) -> None:
    """Check that every node can import ``modules``; UserError: if one lacks a package."""
    from studies.engines.ray.calls import import_problems

    for address, problems in on_every_node(import_problems, modules):
        if isinstance(problems, Exception):
            lines = str(problems).strip().splitlines() or [type(problems).__name__]
            raise UserError(f"node {address} cannot run this program: {lines[-1].strip()}")
        if problems:
            raise UserError(f"node {address}: {problems[0]}; install it there as it is here")


def on_every_node(function: Any, *arguments: Any) -> list[tuple[str, Any]]:
    """Call ``function`` on each node; return its results, or the errors, by the node's address."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Without a claim of its own it runs also where all cores are taken.
    remote = ray.remote(num_cpus=0, max_retries=0)(function)
    calls = []
    for node in living_nodes():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        call = remote.options(scheduling_strategy=there).remote(*arguments)
        calls.append((str(node["NodeManagerAddress"]), call))
    results: list[tuple[str, Any]] = []
    # One deadline for all: they answer at the same time.
    end = time.monotonic() + _ANSWER
    for address, call in calls:
        try:
            left = max(0.1, end - time.monotonic())
            results.append((address, ray.get(call, timeout=left)))
        except ray.exceptions.GetTimeoutError:
            results.append((address, TimeoutError(f"no answer within {_ANSWER:g} s")))
        except ray.exceptions.TaskUnschedulableError:
            pass  # the node has gone away meanwhile
        except ray.exceptions.RayError as error:
            results.append((address, error))
    return results
