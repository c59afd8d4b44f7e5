"""Models, one file each; a file's name is the model's name.

A model's file has one function ``build(n_classes) -> nn.Module``; the module maps normalised images
``[N, 1, 28, 28]`` to logits ``[N, n_classes]``. A new file is a new model; nothing else is to do.
"""

import importlib
import pkgutil

from torch import nn

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError, unknown_name


def names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check(config: ModelConfig) -> None:
    """Raise ``ConfigError`` if there is no such model."""
    if config.name not in names():
        raise ConfigError(f"model.name: {unknown_name('model', config.name, names())}")


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build the model with fresh weights from torch's default random generator.

    Raises:
        ConfigError: there is no such model.
    """
    check(config)
    module = importlib.import_module(f"{__name__}.{config.name}")
    model: nn.Module = module.build(n_classes)
    return model


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
