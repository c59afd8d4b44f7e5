"""A step of Adam or AdamW for large weights, which writes their copies in bf16 as well."""

import ctypes
import math
import struct
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mnist_core.kernels import choice, half_weights, torch_parts
from mnist_core.kernels.formats import PART

if TYPE_CHECKING:  # llvmlite, which it imports, may be missing
    from mnist_core.kernels.machine_code import Kernel

_LEAST = 65_536  # weights; of fewer the step and the casts cost as little as the call
_WIDTH = 16  # as adam_code.WIDTH
_LEAST_BETA = 0.51


def keeps(weight: Tensor, optimizer: torch.optim.Optimizer) -> bool:
    """Return whether ``step`` can write a copy of ``weight``."""
    return (
        _is_usual(optimizer)
        and weight.numel() >= _LEAST
        and weight.numel() % _WIDTH == 0
        and weight.dtype is torch.float32
        and weight.device.type == "cpu"
        and weight.is_contiguous()
        and not why_not()
    )


def step(optimizer: torch.optim.Optimizer) -> list[tuple[nn.Parameter, Tensor]]:
    """Do the step of those weights of which a copy is kept.

    Return them with their gradients, which they no longer have, so torch's step leaves them alone.
    """
    done = []
    for group in optimizer.param_groups if _is_usual(optimizer) else ():
        for weight in group["params"]:
            copy, gradient = half_weights.memory(weight), weight.grad
            state = optimizer.state.get(weight)  # torch makes it at its first step
            if copy is not None and gradient is not None and state:
                _step(weight, gradient.contiguous(), copy, state, group)
                done.append((weight, gradient))
                weight.grad = None
    return done


def why_not() -> str:
    """Return why torch does all the steps on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault()


def _is_usual(optimizer: torch.optim.Optimizer) -> bool:
    return type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and all(
        group["fused"]
        and not group["amsgrad"]
        and not group["maximize"]
        and isinstance(group["lr"], float)
        # With a smaller one torch interpolates from the other end.
        and group["betas"][0] > _LEAST_BETA
        for group in optimizer.param_groups
    )


def _step(
    weight: nn.Parameter,
    gradient: Tensor,
    copy: Tensor,
    state: dict[str, Tensor],
    group: dict[str, Any],
) -> None:
    state["step"] += 1
    count, lr, decay = state["step"].item(), group["lr"], group["weight_decay"]
    decoupled = group["decoupled_weight_decay"]
    beta1, beta2 = group["betas"]
    numbers = (
        1 - lr * decay if decoupled else decay,
        1 - beta1,
        beta2,
        1 - beta2,
        math.sqrt(1 - beta2**count),
        group["eps"],
        -(lr / (1 - beta1**count)),
    )
    tensors = (weight, gradient, state["exp_avg"], state["exp_avg_sq"], copy)
    n = weight.numel()
    parts = -(-n // PART)
    # In the order of adam_code.Argument.
    arguments = (ctypes.c_int64 * 15)(
        0, parts, n, *(one.data_ptr() for one in tensors), *map(_double, numbers)
    )
    kind = ("weights" if decoupled else "gradient") if decay else "none"
    torch_parts.run(_kernel(kind, gradient.dtype is torch.bfloat16), arguments, parts=parts)
    half_weights.written(weight)


def _double(number: float) -> int:
    """Return the bits of ``number``."""
    return int.from_bytes(struct.pack("@d", number), sys.byteorder, signed=True)


@cache
def _kernel(decay: str, half: bool) -> "Kernel":
    from mnist_core.kernels import adam_code, machine_code

    return machine_code.compiled(adam_code.step(decay=decay, half=half))


@cache
def _fault() -> str:
    """Return why the kernels cannot be made, or that they differ from this torch; else ""."""
    kinds = ((False, 0.0), (False, 0.1), (True, 0.1))
    return choice.fault(
        lambda: all(_agrees(*one, half=half) for one in kinds for half in (False, True))
    )


def _agrees(decoupled: bool, decay: float, *, half: bool) -> bool:
    """Return whether three steps of a small example are those of torch."""
    source = torch.Generator().manual_seed(1)
    start = torch.randn(256, generator=source)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    half_weights.keep(ours)
    copy = half_weights.memory(ours)
    assert copy is not None
    group = {
        "lr": 3e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": decay,
        "decoupled_weight_decay": decoupled,
    }
    state = {name: torch.zeros(256) for name in ("exp_avg", "exp_avg_sq")}
    state["step"] = torch.tensor(0.0)
    moments = {name: one.clone() for name, one in state.items()}
    for _ in range(3):
        gradient = torch.randn(256, generator=source) ** 9
        gradient[:3] = torch.tensor([0.0, float("nan"), float("inf")])
        gradient = gradient.bfloat16()
        _step(ours, gradient if half else gradient.float(), copy, state, group)
        torch_parts.step_of_adam(theirs, gradient.float(), moments, group)
    rounded = theirs.detach().bfloat16()
    pairs = [(ours, theirs), (copy, rounded), *((state[name], moments[name]) for name in state)]
    return all(choice.same(a.detach(), b.detach()) for a, b in pairs)
