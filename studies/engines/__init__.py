"""Engines run trials and bring their reports back; the trial book alone writes the study.

Each module here that is neither ``base`` nor private is an engine, under its own name; it has a
function ``create(*, workers, threads, preload, resources) -> Engine``.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_core.errors import ConfigError, UserError, unknown_name
from studies.engines._local.calls import call
from studies.engines.base import ALL, Resources
from studies.planning import machine

if TYPE_CHECKING:
    from studies.engines.base import Engine
    from studies.planning.plan import Plan

__all__ = ["adapted", "call", "create", "names", "processes"]


def names() -> list[str]:
    """Return the names of all engines."""
    # ``base`` is the contract, and ``_local`` is shared by several engines.
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def create(
    name: str,
    *,
    workers: int,
    threads: int,
    preload: Sequence[str] = (),
    resources: Resources = ALL,
) -> "Engine":
    """Return the engine ``name``, not yet started.

    ``threads``: of each worker, 0: an equal share of the cores. ``preload``: modules that workers
    import as they start.

    Raises:
        ConfigError: if the engine is unknown.
        UserError: if there is to be no worker.
    """
    if name not in names():
        raise ConfigError(f"engine.name: {unknown_name('engine', name, names())}")
    if workers < 1:
        raise UserError(f"engine.workers must be 1 or more, but got {workers}")
    threads = threads or max(1, machine.cores() // workers)
    module = importlib.import_module(f"{__name__}.{name}")
    engine: Engine = module.create(
        workers=workers, threads=threads, preload=preload, resources=resources
    )
    return engine


def adapted(plan: "Plan", engine: "Engine") -> "Plan":
    """Return ``plan`` as ``engine``, which is started, can run it; UserError: if it cannot."""
    adapt = getattr(engine, "adapt", None)  # engines that know their resources only now
    return adapt(plan) if adapt is not None else plan


def processes(engine: "Engine", workers: int) -> int:
    """Return in how many processes ``engine`` runs as many trials at once as it has ``workers``."""
    return int(getattr(engine, "processes", workers))
