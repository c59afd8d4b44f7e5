"""A Ray cluster: one of our own on this machine, or a running one that is joined.

Our own one ends with this process, however that ends. It writes nothing to the user's home, tells
nobody that it is used, has no dashboard, and a token of its own that keeps others out.
"""

import contextlib
import functools
import importlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.errors import UserError
from studies.engines.ray.nodes import check_reachable, living_nodes
from studies.engines.ray.quiet import environment, no_chatter, silence

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("mnist_core", "objectives", "search_spaces", "studies")
_OBJECT_STORE = 128 * 1024**2
"""Bytes of our own cluster's object store; what is sent is small."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_INIT": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Tune's own record of a run: nothing is resumed from it.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
}
"""Environment while the engine lives: Ray and Tune keep to themselves."""

_OF_WORKERS = {"PL_DISABLE_FORK": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
"""Environment of workers: they stay in their working directory."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one trial takes of a node.

    Attributes:
        cpus: CPU cores.
        gpus: GPUs, or a share of one.
        memory: bytes of main memory; Ray counts what is claimed, not what is used.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    def resources(self) -> dict[str, float]:
        """Return it as Tune takes it."""
        found: dict[str, float] = {"cpu": self.cpus}
        if self.gpus:
            found["gpu"] = self.gpus
        if self.memory:
            found["memory"] = self.memory
        return found

    def options(self) -> dict[str, float]:
        """Return it as options of a Ray task."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory or None}  # type: ignore[dict-item]

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many fit into a node with ``resources``."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        counts = [
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


class Cluster:
    """A connection to a cluster. Use it as a context manager.

    Args:
        address: of a running cluster, ``auto`` or ``host:port``; "": one is started here.
        cpus: of our own cluster.
        gpus: of our own cluster; None: those that Ray finds.
    """

    def __init__(self, address: str, *, cpus: int, gpus: int | None) -> None:
        self._address = address
        self._cpus, self._gpus = cpus, gpus
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Cluster":
        """Connect.

        Raises:
            UserError: it cannot be reached, or does not fit this program's versions.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(environment(_QUIET | self._token()))
            import ray

            if not ray.is_initialized():  # whoever connected before keeps the connection
                read_environment()
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
        if not self._address:  # whatever the environment says: no other user is let in
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
            UserError: none does after ``seconds``.
        """
        end = time.monotonic() + seconds
        while not (room := self.room(claim)):
            if time.monotonic() >= end:
                raise UserError(self._no_room(claim, seconds))
            time.sleep(0.2)
        return room

    def _no_room(self, claim: Claim, seconds: float) -> str:
        has = [_shown(node["Resources"]) for node in living_nodes()]
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
        path = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        own = {
            "PYTHONPATH": os.pathsep.join(entry for entry in path if entry),
            # When this process is killed, Ray's agents wait so long for what died with it.
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
            # Not a runtime environment, which the workers that Ray begins with would not have.
            **_OF_WORKERS,
        }
        with environment(own):
            self._init(
                stack,
                address="local",
                num_cpus=self._cpus,
                num_gpus=self._gpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                _temp_dir=folder,
            )

    def _join(self, stack: contextlib.ExitStack) -> None:
        if "://" in self._address:
            raise UserError(
                f"engine.ray.address: {self._address!r} is an address of Ray Client, which Tune is"
                " not made for; run this command on a node of the cluster with --ray-address auto"
                " (or submit it: `ray job submit -- python -m studies.run …`)"
            )
        if self._address != "auto":
            check_reachable(self._address)
        # Code travels, data do not: nodes may have this project installed or not.
        packages = [str(_ROOT / name) for name in _PACKAGES]
        travels = {
            "env_vars": _OF_WORKERS,
            "py_modules": packages,
            "excludes": ["__pycache__", "*.pyc"],
        }
        self._init(stack, address=self._address, runtime_env=travels)

    def _init(self, stack: contextlib.ExitStack, **options: Any) -> None:
        import ray

        stack.callback(ray.shutdown)
        try:
            with no_chatter():
                ray.init(
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=True,
                    **options,
                )
        except Exception as error:  # Ray raises what it likes, bare Exceptions, too
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
def _importing_tune() -> Iterator[None]:
    """Import Ray Tune meanwhile: it takes a second or two, and Ray's processes take longer."""
    thread = threading.Thread(target=_import_tune, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import_tune() -> None:
    with contextlib.suppress(ImportError):  # raised again by who needs it
        importlib.import_module("ray.tune")


def read_environment() -> None:
    """Let Ray read the environment again, which it does by itself only when it is imported."""
    with contextlib.suppress(ImportError, AttributeError):  # not part of Ray's public interface
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")


@functools.cache
def own_token() -> str:
    """Return the token of this process's own clusters; Ray reads it once in a process's life."""
    return os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


def _shown(resources: Mapping[str, float]) -> str:
    parts = [f"{resources.get('CPU', 0):g} CPU"]
    if resources.get("GPU"):
        parts.append(f"{resources['GPU']:g} GPU")
    parts.append(f"{resources.get('memory', 0) / 1024**3:.1f} GiB")
    return " + ".join(parts)
