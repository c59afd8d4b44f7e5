"""The losses of all members of a stack in one pass."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnist_core.models._fused import FusedSequential
from mnist_core.tasks import Task
from mnist_core.trainer.training import Training


class LossesTogether:
    """Computes ``task.loss`` for all members at once, each with its own weights and batch."""

    def __init__(self, training: Training) -> None:
        """Take the model and the loss from any member."""
        model = copy.deepcopy(training.model)
        self.dropouts = [name for name, one in model.named_modules() if is_dropout(one)]
        for name in self.dropouts:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, _Masked())
        for module in model.modules():
            if isinstance(module, FusedSequential):
                module.fused = False  # the machine code takes one model's maps
        # A layer under vmap is not, or not wholly, cast by autocast.
        half = training.machine.dtype is torch.bfloat16
        self._cast = _cast_to(model, torch.bfloat16) if half else frozenset()
        # Only the layers are used: the weights come with each call.
        self._loss = _Loss(training.task, model.to("meta"))

    def __call__(
        self,
        tensors: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        inputs: Tensor,
        targets: Tensor,
    ) -> Tensor:
        """Return the losses ``[K]``; all arguments have the members as their first dimension.

        Buffers among ``tensors``, such as the averages of batch norms, are changed in place.
        """
        values = {
            f"model.{name}": value.bfloat16() if name in self._cast else value
            for name, value in tensors.items()
        }
        values |= {f"model.{name}.mask": value for name, value in masks.items()}

        def one(values: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
            loss: Tensor = functional_call(self._loss, values, (inputs, targets))
            return loss

        losses: Tensor = torch.vmap(one)(values, inputs, targets)
        return losses


_PRODUCTS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def _cast_to(model: nn.Module, dtype: torch.dtype) -> frozenset[str]:
    """Have layers compute in ``dtype``, as with autocast; return the names of weights to cast."""

    def narrow(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(values.to(dtype) for values in given)

    def widen(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(values.float() for values in given)

    def narrow_result(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
        return result.to(dtype)

    found: list[str] = []
    for name, layer in model.named_modules():
        if isinstance(layer, _PRODUCTS):
            layer.register_forward_pre_hook(narrow)
            found += [f"{name}.{own}" for own, _ in layer.named_parameters()]
        elif isinstance(layer, _NORMS):  # under vmap they take no weights of another type
            layer.register_forward_pre_hook(widen)
            layer.register_forward_hook(narrow_result)
    return frozenset(found)


def is_dropout(module: nn.Module) -> bool:
    """Return whether ``module`` draws at random which values it keeps."""
    return isinstance(module, nn.Dropout)


def dropped_shapes(training: Training, inputs: Tensor) -> dict[str, torch.Size]:
    """Return the shape of what each dropout gets of the batch ``inputs``, in their order."""
    model = copy.deepcopy(training.model).to("meta").eval()
    shapes: dict[str, torch.Size] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Any) -> None:
            shapes[name] = given[0].shape

        return hook

    for name, module in model.named_modules():
        if is_dropout(module):
            module.register_forward_hook(note(name))
    like = next(model.parameters())  # autocast does not know ``meta``
    with torch.no_grad():
        model(inputs.to("meta", like.dtype))
    return shapes


def draw_masks(training: Training, shapes: Mapping[str, torch.Size]) -> Iterator[Tensor]:
    """Yield the factors of each dropout's values for the next batch of ``training``.

    They are drawn as the training itself would draw them.
    """
    device, dtype = training.machine.device, training.machine.dtype
    if device.type == "cpu" and dtype is not torch.float64:
        dtype = torch.float32  # layers.Dropout applies its factor in fp32
    for name, shape in shapes.items():
        dropout = training.model.get_submodule(name)
        yield dropout(torch.ones(shape, device=device, dtype=dtype))


class _Masked(nn.Module):
    """A dropout whose factors are given."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(()))

    def forward(self, values: Tensor) -> Tensor:
        return (values * self.mask).to(values.dtype)


class _Loss(nn.Module):
    """The loss of a task as a module, so that its tensors can be given with a call."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self._task, self.model = task, model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self._task.loss(self.model, inputs, targets)
