"""Trackers by name, one module each: W&B, TensorBoard, MLflow.

A module has ``create(study, place) -> Tracker`` and ``PACKAGE``: the package that it needs, and the
extra of this project that brings it, or "".
"""

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Iterable
from typing import Any

from mnist_core import plugins
from mnist_core.errors import ConfigError, unknown_name
from studies.planning.tracking_settings import TrackingSettings

_PARTS = frozenset({"backfill", "base", "follow", "kept", "process", "recording"})
"""Modules here that are not trackers, besides those whose names have an underscore."""


def shipped() -> list[str]:
    """Return the names of the trackers of this package."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in found if "_" not in name and name not in _PARTS]


def names() -> list[str]:
    """Return the names of all trackers."""
    return plugins.names("trackers", shipped())


def module(name: str) -> Any:
    """Return the module of tracker ``name``.

    Raises:
        ConfigError: if there is none, two places have it, or its file is broken.
    """
    own = plugins.find("trackers", name, shipped())
    return own.load() if own else importlib.import_module(f"{__name__}.{name}")


def check(trackers: Iterable[str], *, source: str = "tracking.trackers") -> list[str]:
    """Return ``trackers``, each once, if they can be used.

    Raises:
        ConfigError: if one is unknown, or its package is not installed.
    """
    wanted = list(dict.fromkeys(trackers))
    for name in wanted:
        if name not in names():
            raise ConfigError(f"{source}: {unknown_name('tracker', name, names())}")
        package, extra = module(name).PACKAGE
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{source}: {name} needs the package {package}, which is not installed:"
                f" pip install '{f'mnist-studies[{extra}]' if extra else package}'"
            )
    return wanted


def chosen(settings: TrackingSettings) -> list[str]:
    """Return the trackers that the settings name; not wandb if ``WANDB_MODE`` is disabled.

    Raises:
        ConfigError: as ``check``.
    """
    wanted = check(settings.trackers)
    if os.environ.get("WANDB_MODE") == "disabled":
        wanted = [name for name in wanted if name != "wandb"]
    return wanted
