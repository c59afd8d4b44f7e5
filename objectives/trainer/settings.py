"""The trainer's settings as a study uses them: shared by its trials, resolved, compared."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mnist_core import optim
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.data import name_or_path, splits
from mnist_core.errors import ConfigError

TrainerSettings = TrainConfig
"""The table of the trainer's settings, as ``conf.toml`` and ``--set`` have them."""


def shared_settings(
    base: TrainConfig, searched: Collection[str], *, device: str, threads: int, source: str
) -> TrainConfig:
    """Return the configuration that all trials share; what they search has its default.

    Raises:
        ConfigError: if the settings do not fit together; ``source`` is named.
    """
    # A value of conf.toml for a searched setting is meant for other runs: its momentum would reach
    # the trials of optimizers that have none.
    default = TrainConfig().model_dump()
    given = {
        **{setting: get(default, setting) for setting in searched},
        "device": device,
        "threads": threads,
        "data.name": name_or_path.placed(base.data).name,  # workers change their folder
        **_confirm_images(base.data),
    }
    return base.override(given, source=source)


def _confirm_images(data: DataConfig) -> dict[str, str]:
    """Return the setting that confirms on half of the validation images, if they are many.

    A verdict on images that the search selected on is too good. Of fewer images, half would make
    the search and the verdict both too noisy.
    """
    size = name_or_path.known_size(data)
    if data.confirm != "own" or not size:
        return {}
    many = splits.validation_size(size) >= splits.MANY_VALIDATION_IMAGES
    return {"data.confirm": "half"} if many else {}


def with_absolute_root(config: TrainConfig) -> TrainConfig:
    """Return ``config`` with an absolute ``data.root``: an objective may change the directory."""
    root = config.data.root
    absolute = str(Path(root).expanduser().absolute()) if root else ""
    return config if root == absolute else config.override({"data.root": absolute})


def comparable_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of a training that say what is measured, as plain values."""
    # Left out: where a trial runs, and which trial it is.
    settings = config.model_dump(exclude={"seed", "device", "threads"})
    settings["data"].pop("test_set")  # a test set that comes later changes no training
    settings["data"].pop("root")  # a place; what lies there is in the data's own fingerprint
    if not name_or_path.is_shipped(config.data):
        settings["data"]["name"] = "own images"
    for name in ("size", "channels", "balance"):  # not in the fingerprints of older studies
        if settings["data"][name] is None:
            del settings["data"][name]
    if not config.changes:
        del settings["changes"]
    return settings


def resolved(config: TrainConfig) -> TrainConfig:
    """Return ``config`` with each setting of its optimizer, as far as its file is here."""
    try:
        return config.model_copy(update={"optim": optim.resolve(config.optim)})
    except ConfigError:
        # A study is looked at when the file of the user's own optimizer is gone or broken.
        if config.optim.name in optim.OPTIMIZERS:
            raise
        return config


def put(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set the setting ``key``, dotted, in nested tables."""
    *parents, leaf = key.split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
    tables[leaf] = value


def get(tables: Any, key: str) -> Any:
    """Return the setting ``key``, dotted, of nested tables; None: there is none."""
    for part in key.split("."):
        tables = tables.get(part) if isinstance(tables, Mapping) else None
    return tables
