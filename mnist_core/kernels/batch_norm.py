"""Batch norm, and a 2 x 2 max pooling and a ReLU behind it, by machine code; torch's own numbers.

Torch goes over the maps some seven times in a forward and in a backward pass, this three times and
twice. The sums depend on how many threads torch has, here as there.
"""

import ctypes
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.kernels import choice, max_pool, torch_parts
from mnist_core.kernels.formats import BLOCK, FORMATS, Format
from mnist_core.kernels.norm_arguments import Argument, Term

if TYPE_CHECKING:  # llvmlite may be missing
    from mnist_core.kernels.machine_code import Kernel

_FORMATS: dict[torch.dtype, Format] = {
    torch.bfloat16: FORMATS["bfloat16"],
    torch.float32: FORMATS["float32"],
}
_GRAIN = 32_768  # numbers; with fewer, one thread is faster
_VECTOR = 32  # bf16 numbers that torch computes together
_SUMS = 2  # fp32 numbers a thread and channel
_LOW = 200.0  # of the numbers that the kernels are checked with
_KEPT = (Argument.TERMS, Argument.PLACES, Argument.WINNERS)
_BEFORE = ("means", "deviations", "evaluation")
"""The kernels that what is behind the norm does not change."""


@dataclass(frozen=True)
class Behind:
    """What is computed behind the norm, in the same pass."""

    pool: bool
    relu: bool

    def by_torch(self, maps: Tensor) -> Tensor:
        """Return what torch makes of normed ``maps``."""
        maps = functional.max_pool2d(maps, 2) if self.pool else maps
        return functional.relu(maps) if self.relu else maps


def why_not(dtype: torch.dtype = torch.float32, behind: Behind = Behind(False, True)) -> str:
    """Return why torch norms such maps on a CPU; "": it does not have to."""
    return choice.why_torch() or _fault(dtype, behind, torch.get_num_threads())


def takes(maps: Tensor, layer: nn.Module, behind: Behind) -> bool:
    """Return whether ``norm`` can be called with ``maps`` and ``layer``."""
    return (
        type(layer) is nn.BatchNorm2d
        and not torch_parts.has_hooks(layer)
        and maps.device.type == "cpu"
        and maps.dtype in _FORMATS
        and _is_usual(layer)
        and maps.ndim == 4
        and maps.shape[1] == layer.num_features
        and maps.shape[1] % BLOCK == 0
        and _are_large(maps, behind)
        and torch_parts.is_plain(maps)
        and maps.is_contiguous(memory_format=torch.channels_last)
        and (layer.training or not _wants_gradient(maps, layer))
        and not why_not(maps.dtype, behind)
    )


def _is_usual(layer: nn.BatchNorm2d) -> bool:
    parameters = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return (
        layer.momentum is not None
        and layer.eps > 0
        and all(
            value is not None
            and value.dtype is torch.float32
            and value.is_contiguous()
            and value.device.type == "cpu"
            for value in parameters
        )
    )


def _are_large(maps: Tensor, behind: Behind) -> bool:
    n, _, rows, columns = maps.shape
    # Maps of one pixel have other strides in torch, by which the next layer may go its way.
    one, side = (2, 4 if behind.relu else 2) if behind.pool else (1, 2)
    enough = min(rows, columns) >= one and max(rows, columns) >= side
    return enough and n > 0 and n * rows * columns > torch.get_num_threads()


def _wants_gradient(maps: Tensor, layer: nn.BatchNorm2d) -> bool:
    inputs = (maps, layer.weight, layer.bias)
    return torch.is_grad_enabled() and any(value.requires_grad for value in inputs)


def norm(maps: Tensor, layer: nn.BatchNorm2d, behind: Behind) -> Tensor:
    """Return what ``layer`` and ``behind`` make of ``maps``, which ``takes`` accepts."""
    if layer.training and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
    if _wants_gradient(maps, layer):
        return _Norm.apply(maps, layer.weight, layer.bias, layer, behind)  # type: ignore[no-any-return]
    work = _Work(maps, layer.weight, behind)
    work.find_terms(layer)
    return work.output()


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, layer: nn.BatchNorm2d, behind: Behind
    ) -> Tensor:
        """Keep the maps, as torch does; of a pooling, the winners and their places."""
        work = _Work(maps, weight, behind)
        work.find_terms(layer)
        work.keep_winners()
        output = work.output()
        kept = (work.tensors.get(which) for which in _KEPT)
        ctx.save_for_backward(maps, weight, bias, *kept)
        ctx.behind, ctx.epsilon = behind, layer.eps
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the maps, the weight and the bias."""
        maps, weight, bias, *kept = ctx.saved_tensors
        behind: Behind = ctx.behind
        if torch.is_grad_enabled():  # somebody will differentiate the gradients
            return (*_differentiable(maps, weight, bias, ctx.epsilon, behind, gradient), None, None)
        work = _Work(maps, weight, behind)
        for which, tensor in zip(_KEPT, kept, strict=True):
            work.set(which, tensor)
        if _is_left_to_torch(maps, gradient, behind):
            return (*work.gradients_by_torch(gradient, ctx.epsilon), None, None)
        return (*work.gradients(gradient), None, None)


class _Work:
    """The kernels' arguments for some maps."""

    def __init__(self, maps: Tensor, weight: Tensor, behind: Behind) -> None:
        self._behind, self._maps = behind, maps
        n, channels, rows, columns = maps.shape
        self._threads = threads = torch.get_num_threads()
        # In the order of Argument.
        first = (0, 0, threads, n, rows, columns, channels, maps.data_ptr())
        self._arguments = (ctypes.c_int64 * len(Argument))(*first)
        self.tensors: dict[Argument, Tensor] = {}
        self.set(Argument.WEIGHT, weight)
        self.set(Argument.SUMS, torch.empty(_SUMS, threads, channels))

    def set(self, which: Argument, tensor: Tensor | None) -> None:
        """Have the kernels read or write ``tensor``."""
        if tensor is not None:
            self.tensors[which] = tensor
            self._arguments[which] = tensor.data_ptr()

    def find_terms(self, layer: nn.BatchNorm2d) -> None:
        """Take the statistics of the maps and move the running ones; in evaluation take these."""
        self.set(Argument.TERMS, torch.empty(len(Term), self._maps.shape[1]))
        self.set(Argument.BIAS, layer.bias)
        self.set(Argument.RUNNING_MEAN, layer.running_mean)
        self.set(Argument.RUNNING_VARIANCE, layer.running_var)
        self._arguments[Argument.EPSILON] = _bits("d", layer.eps)
        if layer.training:
            assert layer.momentum is not None
            self._arguments[Argument.MOMENTUM] = _bits("f", layer.momentum)
            self._run("means", self._threads)
            self._run("deviations", self._threads)
        else:
            self._run("evaluation", 1)

    def keep_winners(self) -> None:
        """Have the kernels write what the backward pass needs of a pooling."""
        if self._behind.pool:
            self.set(Argument.PLACES, _empty(_half(self._maps.shape), torch.uint8))
            self.set(Argument.WINNERS, _empty(_half(self._maps.shape), self._maps.dtype))

    def output(self) -> Tensor:
        """Return what is behind the norm, the pooling and the ReLU."""
        shape = _half(self._maps.shape) if self._behind.pool else self._maps.shape
        output = _empty(shape, self._maps.dtype)
        self.set(Argument.OUTPUT, output)
        self._run("forward", self._maps.shape[0])
        return output

    def gradients(self, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return those of the maps, the weight and the bias."""
        maps = _empty(self._maps.shape, self._maps.dtype)
        weight, bias = torch.empty(2, self._maps.shape[1]).unbind()
        self.set(Argument.OUTPUT, gradient.contiguous(memory_format=torch.channels_last))
        self.set(Argument.GRADIENT, maps)
        self.set(Argument.WEIGHT_GRADIENT, weight)
        self.set(Argument.BIAS_GRADIENT, bias)
        self._run("sums", self._threads)
        self._run("gradient", self._maps.shape[0])
        return maps, weight, bias

    def gradients_by_torch(self, gradient: Tensor, epsilon: float) -> tuple[Tensor, ...]:
        """Return the gradients of the norm as torch computes them."""
        if self._behind.pool:
            gradient = max_pool.gradient_of(
                gradient, self.tensors[Argument.PLACES], self._maps.shape
            )
        elif self._behind.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, self.output(), 0)
        terms, weight = self.tensors[Argument.TERMS], self.tensors[Argument.WEIGHT]
        mean, inverse = terms[Term.MEAN], terms[Term.INVERSE_DEVIATION]
        return torch.ops.aten.native_batch_norm_backward(  # type: ignore[no-any-return]
            gradient, self._maps, weight, None, None, mean, inverse, True, epsilon, [True] * 3
        )

    def _run(self, name: str, parts: int) -> None:
        self._arguments[Argument.NEXT] = self._arguments[Argument.DONE] = 0
        kernel = _kernel(name, self._maps.dtype, self._behind)
        few = self._maps.numel() < _GRAIN
        torch_parts.run(kernel, self._arguments, parts=1 if few else parts)


def _differentiable(
    maps: Tensor, weight: Tensor, bias: Tensor, epsilon: float, behind: Behind, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return the gradients by operations that torch can differentiate."""
    with torch.enable_grad():
        normed = functional.batch_norm(maps, None, None, weight, bias, True, eps=epsilon)
        output = behind.by_torch(normed)
    wanted = [value for value in (maps, weight, bias) if value.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True))
    return tuple(next(found) if value.requires_grad else None for value in (maps, weight, bias))


def _is_left_to_torch(maps: Tensor, gradient: Tensor, behind: Behind) -> bool:
    # The last channels that fill no vector torch rounds in a way of their own, in bf16.
    rest = maps.dtype is torch.bfloat16 and maps.shape[1] % _VECTOR
    if rest and not _agrees_on_rest(behind, torch.get_num_threads()):
        return True
    # Where its gradient lies otherwise, torch sums in another order.
    return not behind.pool and not _stays_channels_last(gradient, behind)


def _stays_channels_last(gradient: Tensor, behind: Behind) -> bool:
    """Return whether torch's gradient behind the norm is channels-last, given that of the ReLU."""
    if gradient.is_contiguous(memory_format=torch.channels_last) or not behind.relu:
        return gradient.is_contiguous(memory_format=torch.channels_last)
    there = torch.empty_strided(gradient.shape, gradient.stride(), device="meta")
    output = torch.empty_like(there, memory_format=torch.channels_last)
    found = torch.ops.aten.threshold_backward(there, output, 0)
    return bool(found.is_contiguous(memory_format=torch.channels_last))


def _bits(kind: str, value: float) -> int:
    """Return the bits of a double (d) or a float (f)."""
    return int.from_bytes(struct.pack(f"<{kind}", value), "little", signed=True)


def _half(shape: torch.Size) -> torch.Size:
    n, channels, rows, columns = shape
    return torch.Size((n, channels, rows // 2, columns // 2))


def _empty(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)


def _kernel(name: str, dtype: torch.dtype, behind: Behind) -> "Kernel":
    alike = Behind(False, False) if name in _BEFORE else behind
    return _compiled(name, dtype, alike)


@cache
def _compiled(name: str, dtype: torch.dtype, behind: Behind) -> "Kernel":
    from mnist_core.kernels import (
        machine_code,
        norm_backward_code,
        norm_forward_code,
        norm_terms_code,
    )

    form = _FORMATS[dtype]
    if name in _BEFORE:
        code = getattr(norm_terms_code, name)(form)
    else:
        module = norm_forward_code if name == "forward" else norm_backward_code
        code = getattr(module, name)(form, pool=behind.pool, relu=behind.relu)
    return machine_code.compiled(code)


@cache
def _fault(dtype: torch.dtype, behind: Behind, threads: int) -> str:
    """Return why the kernels cannot be made, or that they differ from this torch; else ""."""
    try:
        agrees = _agrees(dtype, behind, threads)
    except ImportError as error:
        return f"llvmlite cannot be imported ({error})"
    except (OSError, RuntimeError) as error:
        return f"LLVM: {error}"
    return "" if agrees else "it would compute something else than this torch"


def _agrees(dtype: torch.dtype, behind: Behind, threads: int) -> bool:
    """Return whether kernels and torch compute the same of small examples: some milliseconds."""
    with torch.inference_mode(False), torch.enable_grad():
        # Full vectors, with a remainder of channels and without.
        return all(_agrees_on(_example(c, threads).to(dtype), behind) for c in (64, 72))


@cache
def _agrees_on_rest(behind: Behind, threads: int) -> bool:
    """Return whether the gradients of channels that fill no vector of bf16 are those of torch."""
    with torch.inference_mode(False), torch.no_grad():
        maps = _example(_VECTOR + _VECTOR // 2 + BLOCK, threads).to(torch.bfloat16)
        maps = maps.contiguous(memory_format=torch.channels_last)
        layer = _example_layer(maps)
        work = _Work(maps, layer.weight, behind)
        work.find_terms(layer)
        work.keep_winners()
        work.output()
        slope = _example_slope(maps, behind)
        ours, theirs = work.gradients(slope), work.gradients_by_torch(slope, layer.eps)
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _agrees_on(maps: Tensor, behind: Behind) -> bool:
    maps = maps.contiguous(memory_format=torch.channels_last)
    found = []
    for ours in (True, False):
        layer = _example_layer(maps)
        leaf = maps.clone(memory_format=torch.preserve_format).requires_grad_()
        output = norm(leaf, layer, behind) if ours else behind.by_torch(layer(leaf))
        slope = _example_slope(maps, behind)
        inputs = (leaf, layer.weight, layer.bias)
        # Of a scalar: with the gradient as an argument, torch imports its compiler.
        gradients = torch.autograd.grad((output * slope).sum(), inputs)
        with torch.no_grad():
            layer.eval()
            evaluated = norm(maps, layer, behind) if ours else behind.by_torch(layer(maps))
        found.append((output, *gradients, *layer.buffers(), evaluated))
    return all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def _example_layer(maps: Tensor) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(maps.shape[1])
    layer.weight.data.copy_(torch.linspace(0.1, 2, maps.shape[1]))
    layer.bias.data.copy_(torch.linspace(-1, 6, maps.shape[1]))
    return layer


def _example_slope(maps: Tensor, behind: Behind) -> Tensor:
    return (functional.max_pool2d(maps, 2) if behind.pool else maps) - _LOW


def _example(channels: int, threads: int) -> Tensor:
    """Return maps of odd sides, with pixels for each thread."""
    # Far from 0, one number in a window larger, and a gradient that rises with it: what is left of
    # it behind the norm, and near the mean of the output, too, are errors of rounding, which differ
    # as soon as one operation is another. Random numbers would hide that in bf16.
    generator = torch.Generator().manual_seed(0)
    n = 3 + threads // 16
    windows = torch.randint(1, 16, (n, channels, 2, 3), generator=generator).float()
    places = torch.randint(4, windows.shape, generator=generator)
    maps = torch.full((n, channels, 5, 7), _LOW)
    for place in range(4):
        i, j = divmod(place, 2)
        maps[:, :, i : i + 3 : 2, j : j + 5 : 2] += torch.where(places == place, windows, 0)
    return maps
