"""Trackers of single trainings: ``mnist-core train --track wandb,tensorboard,mlflow,csv``.

A module for each has ``create(run) -> RunTracker``. The trackers of studies, in
``studies/tracking/``, write with the same parts of W&B, TensorBoard and MLflow.
"""

import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mnist_core.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class _Known:
    module: str
    package: str  # that it needs; "": none
    extra: str  # of this project, which brings the package; "": always installed


_KNOWN = {
    "wandb": _Known("wandb_tracker", "wandb", ""),
    "tensorboard": _Known("tensorboard_tracker", "tensorboard", "tensorboard"),
    "mlflow": _Known("mlflow_tracker", "mlflow", "mlflow"),
    "csv": _Known("csv_tracker", "", ""),
}


def chosen(names: Iterable[str], *, option: str) -> tuple[str, ...]:
    """Return ``names``, each once; not wandb if ``WANDB_MODE`` is disabled.

    Raises:
        ConfigError: if one is unknown, or its package is not installed; it names ``option``.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in _KNOWN:
            raise ConfigError(f"{option}: {unknown_name('tracker', name, _KNOWN)}")
        if _KNOWN[name].package:
            check_installed(name, _KNOWN[name].package, _KNOWN[name].extra, option=option)
    disabled = os.environ.get("WANDB_MODE") == "disabled"
    return tuple(name for name in found if not (disabled and name == "wandb"))


def check_installed(name: str, package: str, extra: str, *, option: str) -> None:
    """Raise ConfigError if ``package`` of tracker ``name`` is not installed.

    ``extra`` is the one of this project that brings it, or "". The message names ``option``.
    """
    if importlib.util.find_spec(package) is None:
        wanted = f"mnist-studies[{extra}]" if extra else package
        raise ConfigError(
            f"{option}: {name} needs the package {package}, which is not installed:"
            f" pip install '{wanted}'"
        )


def split(text: str | None) -> Sequence[str] | None:
    """Return the names of ``--track``, [] for ``none``; None: the option was not given."""
    if text is None or text.strip() == "none":
        return None if text is None else []
    return [name for name in (part.strip() for part in text.split(",")) if name]


def module(name: str) -> str:
    """Return the name of the module of tracker ``name``, one of those that ``chosen`` returns."""
    return f"{__name__}.{_KNOWN[name].module}"
