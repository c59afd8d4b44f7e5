"""Engines take parameters to where trials run and bring reports back.

Each module here that is neither ``base`` nor private is an engine, under its own name; it has a
function ``create(*, workers, threads, preload, resources) -> Engine``.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_core.errors import ConfigError, unknown_name
from studies.engines._local.calls import call
from studies.engines.base import ALL, Resources

if TYPE_CHECKING:
    from studies.engines.base import Engine
    from studies.planning.plan import Plan

__all__ = ["adapted", "call", "create", "names"]


def names() -> list[str]:
    """Return the names of all engines."""
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

    Args:
        name: a module in ``studies/engines/``.
        workers: trials that run at the same time, >= 1.
        threads: CPU threads of each; 0: an equal share of the cores.
        preload: modules that worker processes import as they start, whatever else goes on.
        resources: processors and GPUs of the workers.

    Raises:
        ConfigError: there is no such engine.
    """
    if name not in names():
        raise ConfigError(f"engine.name: {unknown_name('engine', name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    engine: Engine = module.create(
        workers=workers, threads=threads, preload=preload, resources=resources
    )
    return engine


def adapted(plan: "Plan", engine: "Engine") -> "Plan":
    """Return ``plan`` as ``engine``, which is started, can run it.

    Raises:
        UserError: it cannot.
    """
    adapt = getattr(engine, "adapt", None)  # of engines that know only then what they have
    return adapt(plan) if adapt is not None else plan
