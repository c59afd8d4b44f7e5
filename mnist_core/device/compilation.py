"""``torch.compile``, an option: small models on a CPU are slower with it (docs/log.md)."""

import importlib.util
import os
import shlex
import subprocess
import sys
from typing import cast

import torch
from torch import nn

from mnist_core import losses
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError

_DEFAULTS = {"darwin": "clang++", "win32": "cl"}


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` if the model is to be compiled, but there is no way to."""
    if not config.compile:
        return
    if losses.embeds(config.loss):
        raise ConfigError(
            f"compile: {config.loss.name} uses the embeddings, not the forward pass that would be"
            " compiled; use compile=false"
        )
    _check_compiler()
    if config.device.startswith("cuda") and importlib.util.find_spec("triton") is None:
        raise ConfigError("compile: on a GPU torch needs triton; install it, or use compile=false")


def _check_compiler() -> None:
    """Refuse to compile without the C++ compiler that torch will call."""
    # torch takes the one that CXX names, and no other where that is missing.
    named = os.environ.get("CXX")
    command = named if named is not None else _DEFAULTS.get(sys.platform, "g++")
    asks = [] if command == "cl" else ["--version"]
    try:
        subprocess.run([*shlex.split(command), *asks], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.SubprocessError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it does not answer --version"
        if named is not None:
            raise ConfigError(
                f"compile: CXX names the C++ compiler {named!r}, which cannot be called"
                f" ({reason}); set CXX to one that is there, unset it, or use compile=false"
            ) from None
        raise ConfigError(
            f"compile: torch needs the C++ compiler {command!r}, which cannot be called"
            f" ({reason}); install it, name another in CXX, or use compile=false"
        ) from None


def forward_of(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Return the module of the forward pass in training; it shares the model's weights."""
    if not config.compile:
        return model
    # Another size for the last batch of an epoch: compiled once for each, not for any size.
    return cast(nn.Module, torch.compile(model, dynamic=False))
