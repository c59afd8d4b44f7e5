"""``torch.compile``, an option: small models on a CPU are slower with it (docs/log.md)."""

import importlib.util
import shutil
from typing import cast

import torch
from torch import nn

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError

_COMPILERS = ("c++", "g++", "clang++", "cl")


def check(config: TrainConfig) -> None:
    """Refuse to compile what cannot be compiled.

    Raises:
        ConfigError: there is no compiler, or the loss goes around the model's forward pass.
    """
    if not config.compile:
        return
    if config.loss.name in ("contrastive", "triplet", "supcon"):
        raise ConfigError(
            f"compile: {config.loss.name} uses the embeddings, not the forward pass that would be"
            " compiled; use compile=false"
        )
    if not any(map(shutil.which, _COMPILERS)):
        raise ConfigError(
            f"compile: torch needs a C++ compiler ({', '.join(_COMPILERS)}), but finds none;"
            " install one, or use compile=false"
        )
    if config.device.startswith("cuda") and importlib.util.find_spec("triton") is None:
        raise ConfigError("compile: on a GPU torch needs triton; install it, or use compile=false")


def forward_of(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Return what computes the forward pass in training; it shares the model's weights."""
    if not config.compile:
        return model
    # Another size for the last batch of an epoch: compiled once for each, not for any size.
    return cast(nn.Module, torch.compile(model, dynamic=False))
