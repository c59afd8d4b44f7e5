"""Optimizers of torch as ``mnist_core.optim`` names them."""

import importlib
from collections.abc import Iterable
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mnist_core.device import torch_internals
from mnist_core.device.torch_internals import step, zero_grad
from mnist_core.errors import ConfigError
from mnist_core.kernels import adam, denormals, half_weights
from mnist_core.optim import OptimConfig, Optimizer, optimizer, resolve
from mnist_core.tasks.own_code import said

__all__ = [
    "build",
    "change",
    "prepare_recording",
    "set_lr",
    "step",
    "update",
    "zero_grad",
]

_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
_BY_NUMBER = (
    *_FUSED,
    torch.optim.NAdam,
    torch.optim.RMSprop,
    torch.optim.Adadelta,
    torch.optim.Adagrad,
)
"""Those that compute each weight by itself."""

_LEAST_EPS = 1e-11


def build(config: OptimConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer, fused where torch can.

    Raises:
        ConfigError: as ``optim.resolve``, or if its class is missing or does not take its settings.
    """
    kind = optimizer(config.name)
    values = _arguments(config) | kind.options
    made = _class(config.name, kind)
    parameters = list(parameters)
    if values.get("fused") and not _has_fused(made, parameters[0].device):
        values = {**values, "fused": None, "foreach": True}
    try:
        return torch_internals.make_optimizer(made, parameters, values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optim.name: {config.name!r} ({kind.path}): {said(error)}") from error


def _class(name: str, kind: Optimizer) -> Any:
    module, _, wanted = kind.path.partition(":")
    try:
        made = getattr(importlib.import_module(module), wanted)
    except Exception as error:  # the module may be a user's own, whatever it raises
        raise ConfigError(f"optim.name: {name!r} ({kind.path}): {said(error)}") from error
    if not (isinstance(made, type) and issubclass(made, torch.optim.Optimizer)):
        raise ConfigError(
            f"optim.name: {name!r} ({kind.path}) must be a class derived from"
            f" torch.optim.Optimizer, but is {made!r:.80}"
        )
    return made


@cache
def _has_fused(kind: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Return whether torch has a fused step of this optimizer for ``device``."""
    # torch 2.11 has none of Adagrad for CUDA. It says so at the first step, and in no other way.
    if device.type == "cpu":
        return True
    one = nn.Parameter(torch.zeros(1, device=device))
    one.grad = torch.zeros_like(one)
    try:
        step(torch_internals.make_optimizer(kind, [one], {"fused": True}))
    except RuntimeError as error:
        if "fused" not in str(error):  # the device is full or broken
            raise
        return False
    return True


def change(optimizer: torch.optim.Optimizer, config: OptimConfig) -> None:
    """Continue with other values of the same optimizer; raise ConfigError as ``optim.resolve``."""
    values = _arguments(config)
    set_lr(optimizer, values.pop("lr"))
    for group in optimizer.param_groups:
        group.update({name: value for name, value in values.items() if name in group})


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Take ``lr`` from the next step on; one that a graph reads stays where it is."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)  # a kernel with the number in its arguments: nothing waits
        else:
            group["lr"] = lr


def prepare_recording(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a CUDA graph can hold the step; if so, its learning rate is a tensor now."""
    # All of torch's fused steps is on the device. With dampening SGD's first one is another one.
    fused = type(optimizer) in _FUSED and all(
        group["fused"] and not group.get("dampening") for group in optimizer.param_groups
    )
    for group in optimizer.param_groups if fused else ():
        device = group["params"][0].device
        group["lr"] = torch.full((), group["lr"], dtype=torch.float32, device=device)
    return fused


def update(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    *,
    scaler: torch.amp.GradScaler | None,
    grad_clip: float,
) -> None:
    """Do a step on gradients that ``scaler`` has scaled, cut to an L2 norm of ``grad_clip``."""
    if scaler is not None or grad_clip:
        half_weights.widen(optimizer)
    if scaler is not None:
        scaler.unscale_(optimizer)
    if grad_clip:
        nn.utils.clip_grad_norm_(parameters, grad_clip)
    may_flush = _may_flush(optimizer)
    with denormals.flushed() if may_flush else nullcontext():
        if scaler is None:
            done = adam.step(optimizer) if may_flush else []
            half_weights.widen(optimizer)
            step(optimizer)
            for weight, gradient in done:
                weight.grad = gradient
        else:
            scaler.step(optimizer)
    if scaler is not None:
        scaler.update()


def _may_flush(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a step on a CPU may take denormal numbers for 0: the weights stay the same."""
    # The momentum of a weight whose gradient is 0, as those of the images' empty borders are, falls
    # to a denormal number within 900 steps, where it stays; a step of Adam then took 1.7 ms for
    # net's weights instead of .6, and 9.2 ms instead of 1.7 for cnn's. An eps as small as the root
    # of a denormal number would make the difference felt. So would an L2 penalty: it draws unused
    # weights to such numbers, whose sign opens or closes a ReLU (12 of the 118 trainings of
    # optim_search came out differently, of rmsprop and adagrad).
    return type(optimizer) in _BY_NUMBER and all(
        group["params"][0].device.type == "cpu"
        and group.get("eps", 1.0) >= _LEAST_EPS
        and (group["weight_decay"] == 0 or group.get("decoupled_weight_decay", False))
        for group in optimizer.param_groups
    )


def _arguments(config: OptimConfig) -> dict[str, Any]:
    values = resolve(config).to_dict()
    values.pop("name")
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    return values
