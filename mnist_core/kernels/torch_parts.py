"""What the kernels use of torch that it does not document; where it is missing, torch computes."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:  # llvmlite may be missing
    from mnist_core.kernels.machine_code import Kernel

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def run(kernel: "Kernel", arguments: Any, *, parts: int) -> None:
    """Run ``kernel`` on torch's threads, at most ``parts`` of them, or on this one alone."""
    threads = min(parts, torch.get_num_threads())
    parallel = openmp() if threads > 1 else None
    if parallel is None:
        kernel.call(arguments)
    else:
        parallel(kernel.address, arguments, threads, 0)


@cache
def openmp() -> Callable[..., None] | None:
    """Return what runs a function on the threads of torch's OpenMP; None: it was not found."""
    # Threads of our own would wait for a processor: those of OpenMP spin for milliseconds after
    # each operation, as they expect the next.
    try:
        library = ctypes.CDLL(None)
        parallel, set_threads = library.GOMP_parallel, library.omp_set_num_threads
    except (OSError, AttributeError, TypeError):  # TypeError: Windows
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    # A setting of an OpenMP that is not torch's does not reach torch. The other way round it would
    # change MKL's settings, too, and so perhaps the bits of its products.
    threads = torch.get_num_threads()
    try:
        set_threads(threads + 1)
        same = torch.get_num_threads() == threads + 1
    finally:
        set_threads(threads)
    return parallel if same else None


def is_plain(values: Tensor) -> bool:
    """Return whether ``values`` have memory of their own: they are not traced or transformed."""
    if type(values) is not Tensor or torch._C._get_tracing_state() is not None:
        return False
    wrapped = getattr(torch._C._functorch, "is_functorch_wrapped_tensor", None)
    return wrapped is None or not wrapped(values)


def has_hooks(layer: nn.Module) -> bool:
    """Return whether somebody watches what goes through ``layer``."""
    return any(getattr(layer, name, None) for name in _HOOKS)


def step_of_adam(
    weight: nn.Parameter, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]
) -> None:
    """Do torch's fused step; RuntimeError: this torch has another one."""
    name = "_fused_adamw_" if group["decoupled_weight_decay"] else "_fused_adam_"
    settings = {name: group[name] for name in ("lr", "weight_decay", "eps")}
    beta1, beta2 = group["betas"]
    lists = [[weight], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]]]
    state["step"] += 1
    try:
        with torch.no_grad():
            getattr(torch, name)(
                *lists, **settings, beta1=beta1, beta2=beta2, amsgrad=False, maximize=False
            )
    except (AttributeError, TypeError) as error:
        raise RuntimeError(f"torch has another {name} ({error})") from error
