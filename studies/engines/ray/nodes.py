"""Looking at a cluster before the first trial: its address, every node's packages and folder."""

import os
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_core.errors import UserError

_ANSWER = 180.0
"""Seconds for all nodes to answer; the first call on a node also fetches the code."""

_CONNECT = 5.0
"""Seconds until an address counts as unreachable."""


def check_reachable(address: str) -> None:
    """Check that something answers at ``address``, which is host:port.

    Raises:
        UserError: nothing does, or it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
        raise UserError(
            f"engine.ray.address: expected auto or host:port (6379 is Ray's port), got {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError, ValueError) as error:  # ValueError: no name of a host
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"engine.ray.address: nothing answers at {address} ({reason}); is the head node up, and"
            " is this its address?"
        ) from None


def living_nodes() -> list[dict[str, Any]]:
    """Return the cluster's living nodes, as ``ray.nodes()`` describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def check_shared_folder(folder: Path) -> None:
    """Check that every node sees the files in ``folder`` of this one.

    Raises:
        UserError: some do not.
    """
    mark = folder / f".shared-{secrets.token_hex(8)}"
    mark.touch()
    try:
        blind = [address for address, seen in on_every_node(_sees, str(mark)) if seen is not True]
    finally:
        mark.unlink()
    if blind:
        raise UserError(
            f"results.folder: {folder} is not the same folder on {_listed(blind)}, so models would"
            " be lost there; set results.folder to storage that all nodes share (NFS, EFS …)"
        )


def check_modules(modules: Sequence[str]) -> None:
    """Check that every node can import ``modules``; the processes that did are ready for calls.

    Raises:
        UserError: a package is missing on a node.
    """
    from studies.engines.ray.tasks import look

    for address, wrong in on_every_node(look, modules):
        if isinstance(wrong, Exception):
            last = (str(wrong).strip().splitlines() or [type(wrong).__name__])[-1].strip()
            raise UserError(f"node {address} cannot run this program: {last}")
        if wrong:
            raise UserError(f"node {address}: {wrong[0]}; install it there as it is here")


def on_every_node(function: Any, *arguments: Any) -> list[tuple[str, Any]]:
    """Call ``function`` on each node; return its results, or the errors, by the node's address."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(function)
    calls = []
    for node in living_nodes():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        call = remote.options(scheduling_strategy=there).remote(*arguments)
        calls.append((str(node["NodeManagerAddress"]), call))
    results: list[tuple[str, Any]] = []
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


def _sees(path: str) -> bool:
    return os.path.exists(path)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
