"""Trackers by name, one module each: W&B, TensorBoard, MLflow.

A module has ``create(study, place) -> Tracker`` and ``PACKAGE``: the package that it needs, and the
extra of this project that brings it, or "". It may have ``warm_up(place)``, which imports what
takes seconds: this is called at the priority of the study, all else at a lower one.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterable
from typing import Any

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.tracking import check_installed
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
        ConfigError: if there is none, two places have it, its file is broken, or it has no
            ``create``.
    """
    own = plugins.find("trackers", name, shipped())
    if own is None:
        return importlib.import_module(f"{__name__}.{name}")
    found = own.load()
    if not callable(getattr(found, "create", None)):
        raise ConfigError(f"{own.where}: must define create(study, place), which makes the tracker")
    return found


def check(trackers: Iterable[str], *, source: str = "tracking.trackers") -> list[str]:
    """Return the names of ``trackers``, which may be files, each once, if they can be used.

    Raises:
        ConfigError: if one is unknown or broken, or its package is not installed.
    """
    wanted = []
    for given in dict.fromkeys(trackers):
        try:
            name = plugins.plain_name("trackers", given, shipped())
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
        package, extra = _needed(name, module(name))
        check_installed(name, package, extra, option=source)
        wanted.append(name)
    return list(dict.fromkeys(wanted))


def _needed(name: str, found: Any) -> tuple[str, str]:
    """Return the package that a tracker needs, and the extra that brings it."""
    match found.PACKAGE:
        case (str(package), str(extra)) if package:
            return package.partition(".")[0], extra
    raise ConfigError(
        f"tracker {name}: PACKAGE must be the package that it needs and the extra of this project"
        f' that brings it, such as ("json", ""), but got {found.PACKAGE!r:.80}'
    )


def chosen(settings: TrackingSettings) -> list[str]:
    """Return the trackers that the settings name; not wandb if ``WANDB_MODE`` is disabled.

    Raises:
        ConfigError: as ``check``.
    """
    wanted = check(settings.trackers)
    if os.environ.get("WANDB_MODE") == "disabled":
        wanted = [name for name in wanted if name != "wandb"]
    return wanted
