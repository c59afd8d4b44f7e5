"""Models, one file each; the file's name is the model's name, and a new file is a new model.

``build(config, n_classes)`` maps normalised images ``[N, 1, 28, 28]`` to logits ``[N, n_classes]``.
With a third parameter called ``images``, ``build(config, n_classes, images)``, it takes images of
any shape, and is told of which (``mnist_core.images.Images``). ``check`` may have it as well.
A file may also have ``Options``, its settings as a ``Table``, which ``build`` gets as ``config``,
or ``OPTIONS`` (settings of ``ModelConfig`` and their defaults) with ``complete`` (of defaults that
follow from other options); ``check``; and ``TASK = "pairs"`` (it compares images). A file whose
name begins with ``_`` and that has ``member`` makes a family of models: ``torchvision:resnet34``.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from torch import nn

from mnist_core import plugins
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError, said, unknown_name
from mnist_core.images import MNIST, Images
from mnist_core.models import _options
from mnist_core.models._fused import forget_half_weights as forget_half_weights
from mnist_core.models._fused import keep_half_weights as keep_half_weights
from mnist_core.models._layers import single_images as single_images
from mnist_core.models._options import Option
from mnist_core.plugins import model_files
from mnist_core.plugins.kinds import Plugin
from mnist_core.plugins.model_files import shipped as shipped
from mnist_core.plugins.python_files import raised


def names() -> list[str]:
    """Return the names of all models, sorted."""
    return plugins.names("models", shipped())


def resolve(config: ModelConfig, images: Images = MNIST) -> ModelConfig:
    """Fill in the model's defaults; raise ConfigError if it does not exist or a value is wrong."""
    module = _module(config.name)
    name = _name(config.name)
    if hasattr(module, "Options"):
        own = _options.checked(module.Options, config, _file(config.name))
        if hasattr(module, "check"):
            module.check(own, *_if_taken(module.check, images))
        return ModelConfig.from_mapping({"name": name, **own.to_dict()}, source=f"model {name}")
    options: dict[str, Any] = getattr(module, "OPTIONS", {})
    given = {key: value for key, value in config.to_dict().items() if key != "name"}
    for key, value in given.items():
        if key not in options:
            has = f"it has {', '.join(sorted(options))}" if options else "it has no options"
            raise ConfigError(
                f"model.{key}: {config.name!r} has no {key}, but got {value!r}; {has}"
            )
    resolved = ModelConfig.from_mapping(
        {"name": name, **options, **given}, source=f"model {config.name}"
    )
    if hasattr(module, "complete"):
        resolved = module.complete(resolved)
    if hasattr(module, "check"):
        module.check(resolved, *_if_taken(module.check, images))
    return resolved


def options(name: str) -> list[Option]:
    """Return the options of model ``name``; raise ConfigError if it does not exist."""
    return list(_options.described(_module(name)))


def task(config: ModelConfig) -> str:
    """Return ``classification`` or ``pairs``; raise ConfigError if it does not exist."""
    return str(getattr(_module(config.name), "TASK", "classification"))


def build(config: ModelConfig, n_classes: int, images: Images = MNIST) -> nn.Module:
    """Build the model with fresh weights from torch's default random generator; see ``resolve``.

    Raises:
        ConfigError: as ``resolve``, or if the model does not take such images.
    """
    resolved: Any = resolve(config, images)
    module = _module(config.name)
    function, given = module.build, resolved
    if hasattr(module, "Options"):
        given = _options.checked(module.Options, resolved, _file(config.name))
    if images.shape != MNIST.shape and not takes_images(function):
        raise ConfigError(
            f"model.name: {config.name!r} takes images of {MNIST} only, but these are {images};"
            f" give its build(config, n_classes) a third parameter, images ({_file(config.name)})"
        )
    try:
        model = function(given, n_classes, *_if_taken(function, images))
    except Exception as error:  # the file may be a user's own, whatever it raises
        # A full memory is not the file's mistake: the training is tried elsewhere, or later.
        if isinstance(error, ConfigError | MemoryError) or "memory" in str(error):
            raise
        own = _own(config.name)
        if own is not None and own.file is not None:
            raise ConfigError(raised(error, own.file)) from error
        raise ConfigError(f"{_file(config.name)}: build raised {said(error)}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{_file(config.name)}: build must return a module, but got {model!r}")
    return model


def takes_images(function: Callable[..., Any]) -> bool:
    """Return whether a model's ``build`` or ``check`` has the parameter ``images``."""
    try:
        return "images" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def _if_taken(function: Callable[..., Any], images: Images) -> tuple[Images, ...]:
    return (images,) if takes_images(function) else ()


def input_shape(config: ModelConfig, images: Images = MNIST) -> tuple[int, ...]:
    """Return the shape of one image or pair as the model takes it, e.g. ``(1, 28, 28)``."""
    if task(config) != "pairs":
        return images.shape
    return (2, *images.shape) if images.colour else (2, images.rows, images.columns)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _own(name: str) -> Plugin | None:
    """Return the user's own model ``name``; None: it is of this package."""
    return None if model_files.FAMILY in name else plugins.find("models", name, shipped())


def _name(name: str) -> str:
    own = _own(name)
    return own.name if own else name


def _module(name: str) -> Any:
    """Return what makes model ``name``: its module, or the member of a family."""
    family, colon, member = name.partition(model_files.FAMILY)
    if colon and family not in families():
        known = [*names(), *(f"{one}{colon}{member}" for one in families())]
        raise ConfigError(f"model.name: {unknown_name('model', name, known)}")
    own = _own(name)
    try:
        module: Any = own.load() if own else _import(model_files.module_name(name))
    except ConfigError:
        raise
    except Exception as error:  # a contributor's file may raise anything
        raise ConfigError(f"{_file(name)}: {said(error)}") from error
    if colon:
        module = module.member(member)
    if not callable(getattr(module, "build", None)):
        raise ConfigError(f"{_file(name)}: must hold a function build(config, n_classes)")
    return module


def _import(module: str) -> Any:
    return importlib.import_module(f"{__name__}.{module}")


def families() -> list[str]:
    """Return the names before the colon in ``torchvision:resnet34``."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return [name[1:] for name in found if name[0] == "_" and hasattr(_import(name), "member")]


def _file(name: str) -> str:
    own = _own(name)
    return own.where if own else f"mnist_core/models/{model_files.module_name(name)}.py"
