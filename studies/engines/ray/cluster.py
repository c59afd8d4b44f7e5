"""A Ray cluster: one of our own on this machine, or a running one that is joined.

Our own cluster ends with this process, however that ends. It writes nothing to the user's home,
sends no usage statistics, and has no dashboard. Its own token keeps other users out.
"""

import contextlib
import functools
import importlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_core import plugins
from mnist_core.console.shell_words import program
from mnist_core.errors import UserError
from studies.engines._local.worker_start import ROOT, python_path
from studies.engines.ray import shipped
from studies.engines.ray.nodes import Claim, check_reachable, described, living_nodes
from studies.engines.ray.ray_internals import (
    OF_CLUSTER,
    OF_WORKERS,
    QUIET,
    environment,
    read_environment,
    silence,
)

_PACKAGES = ("mnist_core", "objectives", "search_spaces", "studies")
_OBJECT_STORE = 128 * 1024**2
"""Bytes of our own cluster's object store; what is sent is small."""


class Cluster:
    """A connection to a cluster. Use it as a context manager.

    Args:
        address: of a running cluster, ``auto`` or ``host:port``; "": one is started here.
        gpus: of our own cluster; None: those that Ray finds.
    """

    def __init__(self, address: str, *, cpus: int, gpus: int | None) -> None:
        self._address = address
        self._cpus, self._gpus = cpus, gpus
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Cluster":
        """Connect; UserError: if it cannot be reached, or runs other versions."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(environment(QUIET | self._token()))
            import ray

            if not ray.is_initialized():  # an earlier connection is kept
                read_environment()
                # A second or two, while Ray's processes take 4 to 6 s to start.
                with _importing_tune():
                    if self._address:
                        self._join(stack)
                    else:
                        self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _token(self) -> dict[str, str]:
        """Return what makes Ray use a token: our own, or that of a cluster that is joined."""
        if not self._address:  # whatever the environment says, other users are kept out
            return {"RAY_AUTH_MODE": "token"}
        given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
        if given and "RAY_AUTH_MODE" not in os.environ:
            return {"RAY_AUTH_MODE": "token"}
        return {}

    def room(self, claim: Claim) -> int:
        """Return how many trials fit into the cluster at once, were it empty."""
        return sum(claim.fits(node["Resources"]) for node in living_nodes())

    def wait_for_room(self, claim: Claim, seconds: float) -> int:
        """Wait until a trial fits somewhere; return how many do.

        Raises:
            UserError: if none does after ``seconds``.
        """
        # A cluster may still be starting its nodes.
        end = time.monotonic() + seconds
        while not (room := self.room(claim)):
            if time.monotonic() >= end:
                raise UserError(self._no_room(claim, seconds))
            time.sleep(0.2)
        return room

    def _no_room(self, claim: Claim, seconds: float) -> str:
        has = [described(node["Resources"]) for node in living_nodes()]
        waited = f"; waited {seconds:g} s" if seconds else ""
        return (
            f"engine.ray: a trial takes {claim}, but no node has that (they have"
            f" {' or '.join(sorted(set(has))) or 'nothing'}{waited}): lower"
            " engine.ray.cpus, gpus or memory_gib, or add a node"
        )

    def _start(self, stack: contextlib.ExitStack) -> None:
        # Unix sockets lie below it, and their paths have to be short.
        base = "/tmp" if Path("/tmp").is_dir() else None
        folder = tempfile.mkdtemp(prefix="ray-", dir=base)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(environment({"RAY_AUTH_TOKEN": own_token()}))
        own = {
            "PYTHONPATH": python_path(),
            "RAY_TMPDIR": folder,
            **OF_CLUSTER,
            # Not a runtime environment: the workers that Ray starts with would not have it.
            **OF_WORKERS,
        }
        with environment(own):
            self._init(
                stack,
                address="local",
                num_cpus=self._cpus,
                num_gpus=self._gpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
            )

    def _join(self, stack: contextlib.ExitStack) -> None:
        if "://" in self._address:
            raise UserError(
                f"engine.ray.address: {self._address!r} is an address of Ray Client, which Tune is"
                " not made for; run this command on a node of the cluster with --ray-address auto"
                f" (or submit it: `ray job submit -- {program('studies.run')} …`)"
            )
        if self._address != "auto":
            check_reachable(self._address)
        # Code travels, data do not: nodes may have this project installed or not.
        packages = [str(ROOT / name) for name in _PACKAGES]
        with tempfile.TemporaryDirectory(prefix="studies-") as folder:
            project = shipped.pack(Path(folder))
            travels = {
                "env_vars": OF_WORKERS | {plugins.VARIABLE: os.environ.get(plugins.VARIABLE, "")},
                "py_modules": [*packages, *([] if project is None else [str(project)])],
                "excludes": ["__pycache__", "*.pyc"],
                **({} if project is None else {"worker_process_setup_hook": shipped.HOOK}),
            }
            self._init(stack, address=self._address, runtime_env=travels)

    def _init(self, stack: contextlib.ExitStack, **options: Any) -> None:
        import ray

        stack.callback(ray.shutdown)
        try:
            with _no_chatter():
                ray.init(
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=True,
                    **options,
                )
        except Exception as error:  # Ray also raises bare Exceptions
            raise UserError(self._cannot(error)) from None
        silence()

    def _cannot(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        if "Version mismatch" in text:
            return f"engine.ray.address: the cluster at {self._address} runs other versions: {text}"
        if "Could not find any running Ray" in text:
            return (
                "engine.ray.address: no Ray cluster runs on this machine; start one with"
                " `ray start --head`, or leave --ray-address out to have one for this study"
            )
        if not self._address:
            return (
                f"Ray cannot start: {text[:300].rstrip('.')} (on a busy machine: try again, or take"
                " --engine local)"
            )
        return (
            f"engine.ray.address: cannot join {self._address}: {text[:300]} (is it Ray's port, and"
            " RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH the cluster's?)"
        )


@contextlib.contextmanager
def _no_chatter() -> Iterator[None]:
    """Drop what Ray's C++ parts write to the standard error; errors are raised as well."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _importing_tune() -> Iterator[None]:
    thread = threading.Thread(target=_import_tune, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import_tune() -> None:
    with contextlib.suppress(ImportError):  # raised again where it is needed
        importlib.import_module("ray.tune")


@functools.cache
def own_token() -> str:
    """Return the token of this process's own clusters; Ray reads it once in a process's life."""
    return os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
