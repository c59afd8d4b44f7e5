"""Models, one file each; the file's name is the model's name, and a new file is a new model.

``build(config, n_classes)`` maps normalised images ``[N, 1, 28, 28]`` to logits ``[N, n_classes]``.
A file may also have ``Options``, its settings as a ``Table``, which ``build`` gets as ``config``,
or ``OPTIONS`` (settings of ``ModelConfig`` and their defaults) with ``complete`` (of defaults that
follow from other options); ``check``; and ``TASK = "pairs"`` (it compares images). A file whose
name begins with ``_`` and that has ``member`` makes a family of models: ``torchvision:resnet34``.
"""

import importlib
import pkgutil
from typing import Any

from torch import nn

from mnist_core import model_files
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.models import _options
from mnist_core.models._options import Option


def names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(name for name in _modules() if not name.startswith("_"))


def resolve(config: ModelConfig) -> ModelConfig:
    """Fill in the model's defaults; raise ConfigError if it does not exist or a value is wrong."""
    module = _module(config.name)
    if hasattr(module, "Options"):
        own = _options.checked(module.Options, config, _file(config.name))
        if hasattr(module, "check"):
            module.check(own)
        return ModelConfig.from_mapping(
            {"name": config.name, **own.to_dict()}, source=f"model {config.name}"
        )
    options: dict[str, Any] = getattr(module, "OPTIONS", {})
    given = {key: value for key, value in config.to_dict().items() if key != "name"}
    for key, value in given.items():
        if key not in options:
            has = f"it has {', '.join(sorted(options))}" if options else "it has no options"
            raise ConfigError(
                f"model.{key}: {config.name!r} has no {key}, but got {value!r}; {has}"
            )
    resolved = ModelConfig.from_mapping(
        {"name": config.name, **options, **given}, source=f"model {config.name}"
    )
    if hasattr(module, "complete"):
        resolved = module.complete(resolved)
    if hasattr(module, "check"):
        module.check(resolved)
    return resolved


def options(name: str) -> list[Option]:
    """Return the options of model ``name``; raise ConfigError if there is no such model."""
    return list(_options.described(_module(name)))


def task(config: ModelConfig) -> str:
    """Return ``classification`` or ``pairs``; raise ConfigError if there is no such model."""
    return str(getattr(_module(config.name), "TASK", "classification"))


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build the model with fresh weights from torch's default random generator; see ``resolve``."""
    resolved, module = resolve(config), _module(config.name)
    given: Any = resolved
    if hasattr(module, "Options"):
        given = _options.checked(module.Options, resolved, _file(config.name))
    try:
        model = module.build(given, n_classes)
    except Exception as error:  # the file may be a user's own, whatever it raises
        # A full memory is not the file's mistake: the training is tried elsewhere, or later.
        if isinstance(error, ConfigError | MemoryError) or "memory" in str(error):
            raise
        raise ConfigError(f"{_file(config.name)}: build raised {_said(error)}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{_file(config.name)}: build must return a module, but got {model!r}")
    return model


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _module(name: str) -> Any:
    """Return what makes model ``name``: its module, or the member of a family."""
    family, colon, member = name.partition(model_files.FAMILY)
    families = _families() if colon else []
    if name not in names() and family not in families:
        known = [*names(), *(f"{one}{colon}{member}" for one in families)]
        raise ConfigError(f"model.name: {unknown_name('model', name, known)}")
    try:
        module: Any = importlib.import_module(f"{__name__}.{model_files.module_name(name)}")
    except Exception as error:  # the file may be a user's own, whatever it raises
        raise ConfigError(f"{_file(name)}: {_said(error)}") from error
    if colon:
        module = module.member(member)
    if not callable(getattr(module, "build", None)):
        raise ConfigError(f"{_file(name)}: must hold a function build(config, n_classes)")
    return module


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _families() -> list[str]:
    """Return the names before the colon in ``torchvision:resnet34``."""
    private = (name for name in _modules() if name.startswith("_"))
    return [n[1:] for n in private if hasattr(importlib.import_module(f"{__name__}.{n}"), "member")]


def _file(name: str) -> str:
    return f"mnist_core/models/{model_files.module_name(name)}.py"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
