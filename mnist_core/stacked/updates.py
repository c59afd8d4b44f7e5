"""The optimizers' steps on weights ``[K, P]``, a row a member, each with settings of its own.

The formulas are torch's (``torch.optim``); tests compare them step by step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Numbers = dict[str, npt.NDArray[np.float64]]
"""Values of one setting by name, one a member ``[K]``."""

Columns = Mapping[str, Tensor]
"""The same on the device, ``[K, 1]``."""

_NADAM_DECAY = 0.004  # torch's default; OptimConfig does not have it


def _always(settings: Mapping[str, Any], state: str) -> bool:
    return True


def _with_momentum(settings: Mapping[str, Any], state: str) -> bool:
    return state != "momentum_buffer" or settings["momentum"] > 0


@dataclass(frozen=True)
class Rule:
    """How one optimizer steps."""

    # ``(weights, gradients, states, numbers)``: changes weights and states in place
    update: Callable[[Tensor, Tensor, Mapping[str, Tensor], Columns], None]
    # names of the states that torch keeps, of the parameters' shapes
    states: Sequence[str] = ()
    # adds what follows from settings and the number of the step ``t``, from 1
    derive: Callable[[Numbers, npt.NDArray[np.float64]], Numbers] = lambda numbers, t: {}
    counts: bool = True  # whether torch keeps the number of steps
    # names of torch's states that are one number
    products: Sequence[str] = field(default=())
    # whether torch keeps the state of that name with these settings
    keeps: Callable[[Mapping[str, Any], str], bool] = _always


def settings_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the numbers by which ``optimizer`` steps, but for its learning rate."""
    (group,) = optimizer.param_groups
    names = ("weight_decay", "momentum", "alpha", "rho", "eps")
    found = {name: float(group[name]) for name in names if name in group}
    if "betas" in group:
        found["beta1"], found["beta2"] = map(float, group["betas"])
    return found


def to_columns(numbers: Numbers, like: Tensor) -> Columns:
    """Bring ``numbers`` to the device and type of ``like``, in one copy."""
    together = torch.from_numpy(np.stack(list(numbers.values()))).to(like.dtype)
    columns = together.to(like.device, non_blocking=True).unsqueeze(-1)
    return dict(zip(numbers, columns, strict=True))


def clip(gradients: Tensor, most: Tensor) -> Tensor:
    """Return ``gradients`` ``[K, P]`` cut to the L2 norms ``most`` ``[K, 1]``; inf: not at all."""
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    return gradients * (most / (norms + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_


def _decayed(w: Tensor, g: Tensor, n: Columns) -> Tensor:
    return torch.addcmul(g, w, n["weight_decay"])


def _averages(g: Tensor, s: Mapping[str, Tensor], n: Columns) -> tuple[Tensor, Tensor]:
    """Move Adam's two averages; return the first and the root of the second, without eps."""
    mean, square = s["exp_avg"], s["exp_avg_sq"]
    mean.add_((g - mean) * n["rest1"])
    square.mul_(n["beta2"]).addcmul_(g * n["rest2"], g)
    return mean, square.sqrt().div_(n["root2"])


def _sgd(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    w.addcmul_(_decayed(w, g, n), n["lr"], value=-1)


def _momentum(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    buffer = s["momentum_buffer"]
    buffer.mul_(n["momentum"]).add_(_decayed(w, g, n))
    w.addcmul_(buffer, n["lr"], value=-1)


def _nesterov(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    g, buffer = _decayed(w, g, n), s["momentum_buffer"]
    buffer.mul_(n["momentum"]).add_(g)
    w.addcmul_(g.addcmul(buffer, n["momentum"]), n["lr"], value=-1)


def _adam(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    mean, root = _averages(_decayed(w, g, n), s, n)
    w.sub_(mean * n["size"] / root.add_(n["eps"]))


def _adamw(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    w.mul_(n["kept"])
    mean, root = _averages(g, s, n)
    w.sub_(mean * n["size"] / root.add_(n["eps"]))


def _nadam(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    g = _decayed(w, g, n)
    mean, root = _averages(g, s, n)
    root.add_(n["eps"])
    w.sub_(g * n["size_now"] / root).sub_(mean * n["size_next"] / root)


def _rmsprop(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    g, square, buffer = _decayed(w, g, n), s["square_avg"], s["momentum_buffer"]
    square.mul_(n["alpha"]).addcmul_(g * n["rest"], g)
    buffer.mul_(n["momentum"]).add_(g / square.sqrt().add_(n["eps"]))
    w.addcmul_(buffer, n["lr"], value=-1)


def _adagrad(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    g, total = _decayed(w, g, n), s["sum"]
    total.addcmul_(g, g)
    w.sub_(g * n["lr"] / total.sqrt().add_(n["eps"]))


def _adadelta(w: Tensor, g: Tensor, s: Mapping[str, Tensor], n: Columns) -> None:
    g, square, moved = _decayed(w, g, n), s["square_avg"], s["acc_delta"]
    square.mul_(n["rho"]).addcmul_(g * n["rest"], g)
    change = (moved + n["eps"]).sqrt_().div_((square + n["eps"]).sqrt_()).mul_(g)
    moved.mul_(n["rho"]).addcmul_(change * n["rest"], change)
    w.addcmul_(change, n["lr"], value=-1)


def _of_adam(n: Numbers, t: npt.NDArray[np.float64]) -> Numbers:
    return {
        "rest1": 1 - n["beta1"],
        "rest2": 1 - n["beta2"],
        "root2": np.sqrt(1 - n["beta2"] ** t),
        "size": n["lr"] / (1 - n["beta1"] ** t),
        "kept": 1 - n["lr"] * n["weight_decay"],
    }


def _of_nadam(n: Numbers, t: npt.NDArray[np.float64]) -> Numbers:
    now, following = (n["beta1"] * (1 - 0.5 * 0.96 ** (k * _NADAM_DECAY)) for k in (t, t + 1))
    # In place, as it is a state; in fp32, as torch keeps it with weights of any type.
    n["mu_product"][:] = n["mu_product"].astype(np.float32) * now.astype(np.float32)
    return {
        **_of_adam(n, t),
        "size_now": n["lr"] * (1 - now) / (1 - n["mu_product"]),
        "size_next": n["lr"] * following / (1 - n["mu_product"] * following),
    }


_ADAM = ("exp_avg", "exp_avg_sq")
_BUFFER = ("momentum_buffer",)
RULES = {
    "sgd": Rule(_sgd, counts=False),
    "momentum": Rule(_momentum, _BUFFER, counts=False, keeps=_with_momentum),
    "nesterov": Rule(_nesterov, _BUFFER, counts=False, keeps=_with_momentum),
    "adam": Rule(_adam, _ADAM, _of_adam),
    "adamw": Rule(_adamw, _ADAM, _of_adam),
    "nadam": Rule(_nadam, _ADAM, _of_nadam, products=("mu_product",)),
    "rmsprop": Rule(
        _rmsprop,
        ("square_avg", *_BUFFER),
        lambda n, t: {"rest": 1 - n["alpha"]},
        keeps=_with_momentum,
    ),
    "adagrad": Rule(_adagrad, ("sum",)),
    "adadelta": Rule(_adadelta, ("square_avg", "acc_delta"), lambda n, t: {"rest": 1 - n["rho"]}),
}
"""Optimizers by name; others are of a user's own, or step matrices (muon)."""
