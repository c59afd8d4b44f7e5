"""Checkpoints: the weights as safetensors, the configuration and metrics in its header as JSON."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import nn

from mnist_core import files, models, parsing, plugins
from mnist_core.checkpoints import checkpoint_kinds
from mnist_core.config import TrainConfig
from mnist_core.errors import CheckpointError, ConfigError
from mnist_core.images import MNIST, Images

_IMAGES = "images"  # the entry of the header that says which images the model takes


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A trained model and what it was trained by."""

    model: nn.Module  # in evaluation mode, on the CPU; fp64 where the weights are
    config: TrainConfig  # the resolved configuration
    n_classes: int
    metrics: Mapping[str, float]
    confirm_trial: int | None = None  # of the study that kept it; None: no study did
    about: Images = MNIST  # the images that it takes


def save(
    path: Path,
    model: nn.Module,
    config: TrainConfig,
    *,
    n_classes: int,
    metrics: Mapping[str, float],
    confirm_trial: int | None = None,
    about: Images = MNIST,
) -> None:
    """Write a checkpoint whole or not at all; raise ``UserError`` if it cannot be written."""
    header = {
        "config": json.dumps(config.to_dict()),
        "n_classes": str(n_classes),
        "metrics": json.dumps(dict(metrics)),
    }
    if about != MNIST:
        header[_IMAGES] = json.dumps(about.to_json())
    if confirm_trial is not None:
        header["confirm_trial"] = str(confirm_trial)
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    # Not save_file, whose files only their owner can read.
    files.write_atomically(path, serialise(weights, metadata=header))


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a checkpoint says of its model, beside the weights; the same as in ``Checkpoint``."""

    config: TrainConfig
    n_classes: int
    metrics: Mapping[str, float]
    confirm_trial: int | None = None
    about: Images = MNIST


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; raise CheckpointError if it is missing, damaged, foreign or not finite."""
    with _problems_of(path), _opened(path) as file:
        header = _header(path, file.metadata() or {})
        weights: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = header.config
        try:
            with torch.random.fork_rng(devices=[]):  # first weights are drawn only to be replaced
                model = models.build(config.model, header.n_classes, header.about)
            if any(value.dtype is torch.float64 for value in weights.values()):
                model.double()  # which loading would round to the model's type
            model.load_state_dict(weights)
            _check_weights(path, config, weights)
        except plugins.UnknownPlugin:
            missing = plugins.missing("models", config.model.name, near=path)
            raise CheckpointError(f"{path}: {missing}") from None
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: the weights are not those of model {config.model.name!r}: "
                f"{' '.join(str(error).split())}"
            ) from None
    model.eval()
    return Checkpoint(model=model, **vars(header))


def read_header(path: Path) -> Header:
    """Read what a checkpoint says of its model, but no weights; raise CheckpointError as ``load``.

    It takes a moment, also for a large model.
    """
    with _problems_of(path), _opened(path) as file:
        return _header(path, file.metadata() or {})


def _opened(path: Path) -> Any:
    files.check_regular(path)
    return safe_open(path, framework="pt")


@contextmanager
def _problems_of(path: Path) -> Iterator[None]:
    """Turn the errors of reading a checkpoint into a ``CheckpointError``."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(checkpoint_kinds.unreadable(path, error)) from None
    except (KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(checkpoint_kinds.foreign(path, error)) from None


def _header(path: Path, texts: dict[str, Any]) -> Header:
    config = TrainConfig.from_mapping(parsing.json_text(texts["config"]), source=str(path))
    n_classes = checkpoint_kinds.count(texts, "n_classes")
    about = MNIST
    if _IMAGES in texts:  # not in those of images in MNIST's form, which are the older ones
        about = Images.from_json(parsing.json_text(texts[_IMAGES]))
    trial = str(texts.get("confirm_trial", ""))
    return Header(
        config=config,
        n_classes=n_classes,
        metrics=_metrics(texts["metrics"]),
        about=about,
        confirm_trial=int(trial) if trial.isdecimal() and len(trial) < 10 else None,
    )


def _check_weights(path: Path, config: TrainConfig, weights: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are not finite or of a wrong type: such a model predicts class 0 only."""
    for name, value in weights.items():
        if name.endswith((".weight", ".bias")) and not value.is_floating_point():
            raise CheckpointError(
                f"{path}: {name} of model {config.model.name!r} holds {value.dtype} and no"
                " floating-point numbers, so the file was changed: train the model again"
            )
        wrong = value.numel() - int(value.isfinite().sum())
        if wrong:
            raise CheckpointError(
                f"{path}: {wrong:,} of the {value.numel():,} numbers in {name} of model"
                f" {config.model.name!r} are nan or infinite, so it says nothing of any image; its"
                " training went wrong, or the file was changed: train it again"
            )


def _metrics(text: str) -> dict[str, float]:
    metrics = parsing.json_text(text)
    if not isinstance(metrics, dict) or not all(
        isinstance(v, int | float) for v in metrics.values()
    ):
        raise ValueError(f"metrics must be numbers by name, but got {text[:100]!r}")
    return metrics
