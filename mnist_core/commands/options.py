"""Options that several commands of ``python -m mnist_core`` have, and what they change."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_core.config import TrainConfig, read_settings
from mnist_core.errors import ConfigError
from mnist_core.table import as_written, parse_assignment

What = Annotated[
    str,
    typer.Argument(
        metavar="WHAT", help="a .safetensors file, a run's id or folder, or a best_config.toml"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--checkpoint", help="of a run: last, or best (of all reports)"),
]
Runs = Annotated[Path, typer.Option(help="where run ids are looked for")]
OtherData = Annotated[str | None, typer.Option(help="another data set than it was trained on")]
PlaceOfData = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="where the data is now, e.g. data.root=DIR"),
]


def tolerance_option(left_out: str) -> Any:
    """Return the option of a largest difference; ``left_out`` says what counts without it."""
    return typer.Option(
        metavar="POINTS",
        help="largest difference that counts as equal; percentage points of an accuracy",
        show_default=left_out,
        callback=_check_tolerance,
    )


def _check_tolerance(points: float | None) -> float | None:
    if points is not None and not (math.isfinite(points) and points >= 0):
        raise ConfigError(
            f"--tolerance: must be percentage points of at least 0, but got {points:g}"
        )
    return points


def model_names(incomplete: str) -> list[str]:
    """Return the models whose name starts with ``incomplete``, for a shell to complete."""
    # Importing them would import torch, which takes seconds.
    from mnist_core import plugins
    from mnist_core.plugins import model_files

    names = plugins.names("models", model_files.shipped())
    return [name for name in names if name.startswith(incomplete)]


def data_sets(incomplete: str) -> list[str]:
    """Return the data sets whose name starts with ``incomplete``."""
    from mnist_core.data import name_or_path

    return [name for name in name_or_path.names() if name.startswith(incomplete)]


DeviceNow = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")]

ConfigFile = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="TOML file, e.g. a best_config.toml")
]
ModelName = Annotated[
    str | None,
    typer.Option(help="model.name, e.g. net, cnn", autocompletion=model_names),
]
DataName = Annotated[
    str | None,
    typer.Option(
        help="data.name, e.g. mnist-10pct, or the path of your images", autocompletion=data_sets
    ),
]
Seed = Annotated[int | None, typer.Option(help="weights, order and augmentation")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. optim.lr=0.01"),
]


def changes(assignments: list[str] | None, **options: Any) -> dict[str, Any]:
    """Return the settings that options change, dots written as ``__``; ``--set`` wins."""
    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    return given | dict(parse_assignment(text) for text in assignments or [])


WRITTEN = {
    "model.name": "--model",
    "data.name": "--dataset",
    "epochs": "--epochs",
    "seed": "--seed",
    "device": "--device",
}
"""Options by the setting that they become."""


def override(
    config: TrainConfig, changes: Mapping[str, Any], assignments: list[str] | None
) -> TrainConfig:
    """Return ``config`` with ``changes``; a mistake is blamed on the option, or on ``--set``.

    Raises:
        ConfigError: if a setting is unknown, or a value is wrong.
    """
    try:
        return config.override(changes)
    except ConfigError as error:
        by_set = {parse_assignment(text)[0] for text in assignments or []}
        given = {key: WRITTEN[key] for key in changes if key in WRITTEN and key not in by_set}
        raise as_written(error, given) from None


def configuration(
    config_file: Path | None, assignments: list[str] | None, **options: Any
) -> TrainConfig:
    """Return the settings of a file with ``changes``; raise ConfigError if one is wrong."""
    settings, _ = read_settings(config_file) if config_file else ({}, {})
    config = TrainConfig.from_mapping(settings, source=str(config_file))
    return override(config, changes(assignments, **options), assignments)


def tuned(
    config_file: Path | None,
    assignments: list[str] | None,
    model: str | None,
    dataset: str | None,
    seed: int | None,
    device: str | None,
) -> TrainConfig:
    """Return the ``configuration`` of the commands that tune a training."""
    given = {"model__name": model, "data__name": dataset, "seed": seed, "device": device}
    return configuration(config_file, assignments, **given)


def data_changes(assignments: list[str] | None, dataset: str | None) -> dict[str, Any]:
    """Return the changes of a trained model's data; raise ConfigError if others are asked for."""
    changed = changes(assignments)
    for key in changed:
        if not key.startswith("data."):
            raise ConfigError(f"--set {key}: the model is trained; only data.* can be changed")
    return changed if dataset is None else {"data.name": dataset, "data.root": "", **changed}
