"""What relies on more of torch than it documents; beside it only ``kernels/torch_parts.py`` does.

Each function checks at its first use that torch still looks as expected (seen with torch 2.15).
Where it does not, the documented way is taken, which gives the same results, and a warning says so.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_MUON = {
    "nesterov": True,
    "ns_coefficients": (3.4445, -4.7750, 2.0315),
    "ns_steps": 5,
    "eps": 1e-7,
    "adjust_lr_fn": "match_rms_adamw",
}
"""Coefficients of Jordan 2024; the update has AdamW's usual size (Liu 2025, arXiv:2502.16982)."""

_CPU = Path("/proc/cpuinfo")


def muon_step(
    weights: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], **settings: float
) -> None:
    """Do one step of Muon on matrices ``[rows, columns]``, in place.

    ``settings`` are ``lr``, ``weight_decay`` and ``momentum``.
    """
    function = _muon_function()
    if function is not None:
        function(weights, gradients, momenta, **settings, **_MUON, has_complex=False)
        return
    optimizer = torch.optim.Muon(weights, **settings, **_MUON)  # type: ignore[arg-type]
    for weight, gradient, momentum in zip(weights, gradients, momenta, strict=True):
        weight.grad = gradient
        optimizer.state[weight]["momentum_buffer"] = momentum
    optimizer.step()  # type: ignore[no-untyped-call]


def lerp_all(averages: list[Tensor], values: list[Tensor], weight: float) -> None:
    """Move each of ``averages`` by ``weight`` of its way to ``values``, in place."""
    function = _lerp_function()
    if function is not None:
        function(averages, values, weight)
        return
    for average, value in zip(averages, values, strict=True):
        average.lerp_(value, weight)


def make_optimizer(kind: type[Optimizer], parameters: Any, values: dict[str, Any]) -> Optimizer:
    """Return ``kind(parameters, **values)`` without the import of torch's compiler."""
    # The wrappers around an optimizer's methods import the compiler when they are first called: 800
    # modules, a second or more in each process. Nothing here is compiled.
    made = kind.__new__(kind)
    # The constructor calls this wrapped method; for as long as it runs, the bare one hides it.
    own = vars(made)
    bare = _bare(kind, "add_param_group")  # type: ignore[arg-type]
    own["add_param_group"] = partial(bare, made)
    kind.__init__(made, parameters, **values)
    del own["add_param_group"]
    return made


def zero_grad(optimizer: Optimizer) -> None:
    """Do what ``optimizer.zero_grad()`` does, as ``make_optimizer``."""
    if type(optimizer).zero_grad is Optimizer.zero_grad:
        # Without the line that it writes for torch's profiler: .15 to .014 ms for net.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        return
    _bare(type(optimizer), "zero_grad")(optimizer)  # type: ignore[arg-type]


def step(optimizer: Optimizer) -> None:
    """Do what ``optimizer.step()`` does, as ``make_optimizer``; hooks on steps are not called."""
    with torch.no_grad():  # one of the wrappers does this
        _bare(type(optimizer), "step")(optimizer)  # type: ignore[arg-type]


def cpu_has_bf16() -> bool:
    """Return whether the CPU has instructions for bf16 (AVX-512); without them it is emulated."""
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if _takes(supported):
        return bool(supported())  # type: ignore[misc]
    _warn("torch.cpu._is_avx512_bf16_supported", "the processor's flags are read instead")
    try:
        return "avx512_bf16" in _CPU.read_text(encoding="utf-8").split()
    except OSError:
        return False


def unexpected() -> list[str]:
    """Return a line for each thing that this torch has otherwise, if none was asked for before."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _muon_function()
        _lerp_function()
        _bare(torch.optim.SGD, "step")
        cpu_has_bf16()
    return [str(one.message) for one in caught]


@cache
def _muon_function() -> Callable[..., None] | None:
    """Return the function under ``torch.optim.Muon``: it takes matrices that are views."""
    function = getattr(getattr(torch.optim, "_muon", None), "muon", None)
    names = ("params", "grads", "muon_momentum_bufs", "lr", "weight_decay", "momentum", *_MUON)
    if _takes(function, *names, "has_complex"):
        return function
    _warn("torch.optim._muon.muon", "each step makes a torch.optim.Muon")
    return None


@cache
def _lerp_function() -> Callable[..., None] | None:
    function = getattr(torch, "_foreach_lerp_", None)
    start, end = torch.zeros(2), torch.ones(2)
    try:
        function([start], [end], 0.25)  # type: ignore[misc]
    except (TypeError, RuntimeError):
        start.zero_()
    if start.tolist() == [0.25, 0.25]:
        return function
    _warn("torch._foreach_lerp_", "the tensors are moved one by one")
    return None


@cache
def _bare(kind: Any, name: str) -> Callable[..., Any]:
    """Return the method under torch's wrappers, or the wrapped one where it is not found."""
    wrapped = getattr(kind, name)
    bare = inspect.unwrap(wrapped)
    owners = [owner.__qualname__ for owner in kind.__mro__]
    if getattr(bare, "__qualname__", "") in [f"{owner}.{name}" for owner in owners]:
        return bare  # type: ignore[no-any-return]
    _warn(f"the method under {kind.__qualname__}.{name}", "its wrapper imports torch's compiler")
    return wrapped  # type: ignore[no-any-return]


def _takes(function: Any, *names: str) -> bool:
    """Return whether ``function`` can be called with ``names``, the first three by position."""
    try:
        positional: Sequence[str] = names[:3]
        named = dict.fromkeys(names[3:])
        bound = inspect.signature(function).bind(*positional, **named)
    except (TypeError, ValueError):
        return False
    return list(bound.arguments)[: len(positional)] == list(positional)


def _warn(what: str, instead: str) -> None:
    warnings.warn(
        f"torch {torch.__version__} has another {what} than 2.15; {instead}, which is slower",
        RuntimeWarning,
        stacklevel=3,
    )
