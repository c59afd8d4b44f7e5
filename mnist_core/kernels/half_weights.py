"""Copies of weights in bf16 that an optimizer's kernel writes, so that no cast is needed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_NAME = "_bf16_copy"  # an attribute of the weight: it goes where the weight goes


@dataclass
class _Copy:
    values: Tensor
    version: int  # of the weight that it is a copy of


def keep(weight: Tensor) -> None:
    """Have the optimizer's kernel keep a copy from its next step on."""
    if _NAME not in vars(weight):
        copy = torch.empty_like(weight, dtype=torch.bfloat16, requires_grad=False)
        setattr(weight, _NAME, _Copy(copy, -1))
        if hasattr(weight, "grad_dtype"):  # since torch 2.10
            weight.grad_dtype = None  # any


def forget(model: nn.Module) -> None:
    """Leave the weights as torch knows them: another optimizer may train them further."""
    for weight in model.parameters():
        if _NAME in vars(weight):
            delattr(weight, _NAME)
            weight.grad = None
            if hasattr(weight, "grad_dtype"):
                weight.grad_dtype = weight.dtype


def memory(weight: nn.Parameter) -> Tensor | None:
    """Return where to write the copy, if it is kept; call ``written`` afterwards."""
    copy = vars(weight).get(_NAME)
    return None if copy is None else copy.values


def written(weight: nn.Parameter) -> None:
    """Note that weight and copy were written, and are equal."""
    copy = vars(weight)[_NAME]
    torch.autograd.graph.increment_version([weight, copy.values])
    copy.version = weight._version


def of(layer: nn.Linear) -> Tensor | None:
    """Return the layer's weight as autocast would cast it; None: it has no copy, or an old one."""
    copy = vars(layer.weight).get(_NAME)
    if (
        copy is None
        or copy.version != layer.weight._version
        or not torch.is_autocast_enabled("cpu")
        or torch.get_autocast_dtype("cpu") is not torch.bfloat16
    ):
        return None
    if torch.is_grad_enabled() and layer.weight.requires_grad:
        return _Cast.apply(layer.weight, copy)  # type: ignore[no-any-return]
    return copy.values  # type: ignore[no-any-return]


def widen(optimizer: torch.optim.Optimizer) -> None:
    """Make all gradients as wide as their weights."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and weight.grad.dtype is not weight.dtype:
                weight.grad = weight.grad.to(weight.dtype)


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: nn.Parameter, copy: _Copy) -> Tensor:
        """Return the copy."""
        ctx.weight = weight
        return copy.values.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in bf16 if it is the weight's only one: a sum is made in fp32."""
        weight = ctx.weight
        if torch.is_grad_enabled() or getattr(weight, "grad_dtype", weight.dtype) is not None:
            return gradient.to(weight.dtype), None
        if weight.grad is None:
            return gradient, None
        weight.grad = weight.grad.to(weight.dtype)
        return gradient.to(weight.dtype), None
