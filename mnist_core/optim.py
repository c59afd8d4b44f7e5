"""The optimizers, one entry each: a name, its settings, and the class that does the steps."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.table import Table


@dataclass(frozen=True)
class Optimizer:
    """An optimizer."""

    path: str  # its class, ``module:name``
    defaults: dict[str, float]  # the settings that it has, and torch's defaults for them
    # arguments of the class that the name stands for
    options: dict[str, Any] = field(default_factory=dict)


_ADAM = {"lr": 1e-3, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_SGD = {"lr": 1e-3, "weight_decay": 0.0}
_FUSED, _FOREACH = {"fused": True}, {"foreach": True}  # the fastest step that torch has of each
OPTIMIZERS = {
    "sgd": Optimizer("torch.optim:SGD", _SGD, _FUSED),
    # torch's own default of momentum is 0; without it these two would be plain sgd.
    "momentum": Optimizer("torch.optim:SGD", {**_SGD, "momentum": 0.9}, _FUSED),
    "nesterov": Optimizer(
        "torch.optim:SGD", {**_SGD, "momentum": 0.9}, {"nesterov": True, **_FUSED}
    ),
    "adam": Optimizer("torch.optim:Adam", _ADAM, _FUSED),
    "adamw": Optimizer("torch.optim:AdamW", {**_ADAM, "weight_decay": 0.01}, _FUSED),
    "nadam": Optimizer("torch.optim:NAdam", {**_ADAM, "lr": 2e-3}, _FOREACH),
    "rmsprop": Optimizer(
        "torch.optim:RMSprop",
        {"lr": 0.01, "weight_decay": 0.0, "momentum": 0.0, "alpha": 0.99, "eps": 1e-8},
        _FOREACH,
    ),
    "adadelta": Optimizer(
        "torch.optim:Adadelta", {"lr": 1.0, "weight_decay": 0.0, "rho": 0.9, "eps": 1e-6}, _FOREACH
    ),
    "adagrad": Optimizer(
        "torch.optim:Adagrad", {"lr": 0.01, "weight_decay": 0.0, "eps": 1e-10}, _FUSED
    ),
    # torch's Muon takes matrices only; ours steps the other parameters with AdamW.
    "muon": Optimizer(
        "mnist_core.trainer.muon:MuonAdamW",
        {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "beta1": 0.9, "beta2": 0.999},
    ),
}


class OptimConfig(Table):
    """The optimizer. A value left out is torch's default for that optimizer."""

    name: str = Field("adam", description=", ".join(OPTIMIZERS))
    lr: float | None = Field(None, gt=0, le=100, description="learning rate per step")
    weight_decay: float | None = Field(None, ge=0, le=10)
    momentum: float | None = Field(
        None, ge=0, lt=1, description="momentum, nesterov, rmsprop, muon"
    )
    beta1: float | None = Field(None, ge=0, lt=1, description="adam, adamw, nadam, muon")
    beta2: float | None = Field(None, ge=0, lt=1, description="adam, adamw, nadam, muon")
    alpha: float | None = Field(None, ge=0, lt=1, description="rmsprop: decay of the mean square")
    rho: float | None = Field(None, ge=0, lt=1, description="adadelta: decay of both means")
    eps: float | None = Field(None, gt=0, le=1)


def optimizer(name: str) -> Optimizer:
    """Return the optimizer called ``name``, which may be a user's own.

    Raises:
        ConfigError: if there is none, two places have it, or its file is broken.
    """
    return plugins.choose("optimizers", name, OPTIMIZERS, Optimizer)


def resolve(config: OptimConfig) -> OptimConfig:
    """Fill in torch's defaults; raise ConfigError for a value that the optimizer does not have."""
    defaults = optimizer(config.name).defaults
    given = {key: value for key, value in config.to_dict().items() if key != "name"}
    for key, value in given.items():
        if key not in defaults:
            raise ConfigError(
                f"optim.{key}: {config.name!r} has no {key}, but got {value!r}; "
                f"it has {', '.join(sorted(defaults))}"
            )
    if config.name == "nesterov" and config.momentum == 0:
        raise ConfigError("optim.momentum: 'nesterov' needs a momentum above 0, but got 0.0")
    name = plugins.plain_name("optimizers", config.name, OPTIMIZERS)
    return OptimConfig(name=name, **{**defaults, **given})
