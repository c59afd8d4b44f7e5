"""Optimizers by name, with torch's defaults for every value that is left out.

torch wraps what an optimizer does for its compiler, and the wrappers import that compiler when they
are first called: 800 modules, a second or more in each process. Nothing here is compiled, so the
functions under the wrappers are called instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_core.config import OptimConfig
from mnist_core.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and `resolve` needs none
    import torch
    from torch import nn


@dataclass(frozen=True)
class _Kind:
    """How a name of ours is one of torch's optimizers.

    Attributes:
        optimizer: name of torch's class.
        defaults: the settings it understands and torch's defaults for them.
        options: arguments that the name stands for.
        fused: whether torch has a fused step for it.
    """

    optimizer: str
    defaults: dict[str, float]
    options: dict[str, Any]
    fused: bool = False


_ADAM = {"lr": 1e-3, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_SGD = {"lr": 1e-3, "weight_decay": 0.0}
_KINDS = {
    "sgd": _Kind("SGD", _SGD, {}, fused=True),
    # torch's own default of momentum is 0; without it these two would be plain sgd.
    "momentum": _Kind("SGD", {**_SGD, "momentum": 0.9}, {}, fused=True),
    "nesterov": _Kind("SGD", {**_SGD, "momentum": 0.9}, {"nesterov": True}, fused=True),
    "adam": _Kind("Adam", _ADAM, {}, fused=True),
    "adamw": _Kind("AdamW", {**_ADAM, "weight_decay": 0.01}, {}, fused=True),
    "nadam": _Kind("NAdam", {**_ADAM, "lr": 2e-3}, {}),
    "rmsprop": _Kind(
        "RMSprop",
        {"lr": 0.01, "weight_decay": 0.0, "momentum": 0.0, "alpha": 0.99, "eps": 1e-8},
        {},
    ),
    "adadelta": _Kind("Adadelta", {"lr": 1.0, "weight_decay": 0.0, "rho": 0.9, "eps": 1e-6}, {}),
    "adagrad": _Kind("Adagrad", {"lr": 0.01, "weight_decay": 0.0, "eps": 1e-10}, {}, fused=True),
    # torch's Muon takes matrices only; see mnist_core.trainer.muon for what becomes of the rest.
    "muon": _Kind(
        "Muon",
        {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "beta1": 0.9, "beta2": 0.999},
        {},
    ),
}


def resolve(config: OptimConfig) -> OptimConfig:
    """Fill in torch's defaults.

    Raises:
        ConfigError: a value is given that the optimizer has not, e.g. ``momentum`` for ``adam``,
            or ``nesterov`` is to do without momentum.
    """
    defaults = _KINDS[config.name].defaults
    given = {key: value for key, value in config.to_dict().items() if key != "name"}
    for key, value in given.items():
        if key not in defaults:
            raise ConfigError(
                f"optim.{key}: {config.name!r} has no {key}, but got {value!r}; "
                f"it has {', '.join(sorted(defaults))}"
            )
    if config.name == "nesterov" and config.momentum == 0:
        raise ConfigError("optim.momentum: 'nesterov' needs a momentum above 0, but got 0.0")
    return OptimConfig(name=config.name, **{**defaults, **given})


def build(config: OptimConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer over ``parameters``; the step is fused where torch can.

    Raises:
        ConfigError: as ``resolve``.
    """
    import torch

    kind = _KINDS[config.name]
    values = resolve(config).to_dict()
    values.pop("name")
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    if config.name == "muon":
        from mnist_core.trainer.muon import MuonAdamW

        return _made(MuonAdamW, parameters, values)
    values |= kind.options
    values["fused" if kind.fused else "foreach"] = True
    return _made(getattr(torch.optim, kind.optimizer), parameters, values)


def change(optimizer: torch.optim.Optimizer, config: OptimConfig) -> None:
    """Go on with other values of ``config``, whose optimizer is the same; the state stays.

    Raises:
        ConfigError: as ``resolve``.
    """
    values = resolve(config).to_dict()
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    for group in optimizer.param_groups:
        group.update({name: value for name, value in values.items() if name in group})


def zero_grad(optimizer: torch.optim.Optimizer) -> None:
    """Do what ``optimizer.zero_grad()`` does."""
    inspect.unwrap(type(optimizer).zero_grad)(optimizer)


def step(optimizer: torch.optim.Optimizer) -> None:
    """Do what ``optimizer.step()`` does; hooks on steps are not called."""
    import torch

    with torch.no_grad():  # one of the wrappers does this
        inspect.unwrap(type(optimizer).step)(optimizer)


def _made(
    kind: type[torch.optim.Optimizer], parameters: Iterable[nn.Parameter], values: dict[str, Any]
) -> torch.optim.Optimizer:
    """Return ``kind(parameters, **values)``."""
    made = kind.__new__(kind)
    # The constructor calls this wrapped method; for as long as it runs, the bare one hides it.
    own = vars(made)
    own["add_param_group"] = functools.partial(inspect.unwrap(kind.add_param_group), made)
    kind.__init__(made, parameters, **values)
    del own["add_param_group"]
    return made
