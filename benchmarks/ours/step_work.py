"""What a training's step asks of its device: operations, the bytes they move, kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NOTHING_MOVED = ("empty", "new_empty", "detach", "_unsafe_view", "_local_scalar_dense", "record")


@dataclass
class Work(TorchDispatchMode):
    """Counts the operations that run in its context, forward and backward.

    Attributes:
        operations: that compute or copy something; views are not among them.
        bytes: of the tensors that these read and write, each counted once an operation. A cache
            that keeps a tensor between two operations saves some of them.
    """

    operations: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        """Run an operation and count it."""
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        name = function.name().partition("::")[2].partition(".")[0]
        if not _is_view(function) and not name.startswith(_NOTHING_MOVED):
            self.operations += 1
            read = _tensors((args, kwargs))
            known = {id(tensor) for tensor in read}
            made = [tensor for tensor in _tensors(out) if id(tensor) not in known]
            changed = _changed(function, args, kwargs)
            self.bytes += sum(map(_size, [*read, *made, *changed]))
        return out


def kernels(work: Callable[[], object], device: torch.device) -> int | None:
    """Return how many kernels and copies ``work`` starts on a GPU; None if nobody can tell."""
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize(device)
    cuda = torch.autograd.DeviceType.CUDA
    return sum(event.device_type == cuda for event in seen.events()) or None


def _is_view(function: Any) -> bool:
    infos = [argument.alias_info for argument in function._schema.arguments]
    return any(info is not None and not info.is_write for info in infos)


def _changed(function: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Return the tensors among the arguments that ``function`` writes to."""
    arguments = function._schema.arguments
    given = {argument.name: value for argument, value in zip(arguments, args, strict=False)}
    values = {**given, **kwargs}
    written = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    return _tensors([values.get(name) for name in written])


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
