"""What a model consists of and costs: layers, shapes, parameters, operations, memory."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.images import MNIST, Images
from mnist_core.models._fused import FusedSequential


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One call of a module without modules of its own, for one image or pair."""

    name: str  # dotted, as in the ``state_dict``; empty for what outer modules compute themselves
    kind: str
    # of the output; the first number is 2 where an encoder sees both images of a pair
    shape: tuple[int, ...]
    parameters: int  # trainable ones; 0 when the same module is called again
    flops: int  # see ``Summary``


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A model, layer by layer, and its sums."""

    model: ModelConfig
    sample: str  # ``image`` or ``pair``
    layers: tuple[Layer, ...]
    parameters: int
    # of the forward pass for one sample, as ``torch.utils.flop_counter`` counts: 2 for each
    # multiply-add of convolutions and matrix products. The backward pass has twice as many.
    flops: int
    # kept for the backward pass for one more sample in a batch, in fp32 on the CPU; in bf16 about
    # half of it
    activation_bytes: int


def summarise(config: ModelConfig, n_classes: int = 10, images: Images = MNIST) -> Summary:
    """Build the model on the CPU and measure it; raise as ``models.resolve``."""
    config = models.resolve(config, images)
    with torch.random.fork_rng(devices=[]):
        model = models.build(config, n_classes, images)
        layers, flops = _layers(model, _inputs(config, images, 1))
        activation_bytes = _activation_bytes(model, config, images)
    return Summary(
        model=config,
        sample=_sample(config),
        layers=tuple(layers),
        parameters=models.count_parameters(model),
        flops=flops,
        activation_bytes=activation_bytes,
    )


def _sample(config: ModelConfig) -> str:
    return "pair" if models.task(config) == "pairs" else "image"


def _inputs(config: ModelConfig, images: Images, n: int) -> Tensor:
    """Return ``n`` blank images ``[n, C, H, W]`` or pairs ``[n, 2, (3,) H, W]``."""
    return torch.zeros(n, *models.input_shape(config, images))


def _layers(model: nn.Module, one: Tensor) -> tuple[list[Layer], int]:
    layers: list[Layer] = []
    seen: set[nn.Module] = set()
    counter = FlopCounterMode(display=False)
    before = 0

    def enter(module: nn.Module, inputs: Any) -> None:
        nonlocal before
        before = counter.get_total_flops()

    def leave(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        while not isinstance(output, Tensor):  # a recurrent layer returns its state as well
            output = output[0]
        # One sample went in, so a leading 1 is the batch; 2: both images of a pair.
        shape = tuple(output.shape)
        layers.append(
            Layer(
                name=name,
                kind=type(module).__name__,
                shape=shape[1:] if shape[0] == 1 else shape,
                parameters=0 if module in seen else models.count_parameters(module),
                flops=counter.get_total_flops() - before,
            )
        )
        seen.add(module)

    hooks: list[RemovableHandle] = []
    for name, module in model.named_modules():
        if not any(True for _ in module.children()):
            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.register_forward_hook(partial(leave, name)))
    model.eval()
    with counter, torch.no_grad():
        output = model(one)
    for hook in hooks:
        hook.remove()
    flops = counter.get_total_flops()
    parameters = models.count_parameters(model)
    other_flops = flops - sum(layer.flops for layer in layers)
    other_parameters = parameters - sum(layer.parameters for layer in layers)
    if other_flops or other_parameters:
        layers.append(
            Layer(
                name="",
                kind=type(model).__name__,
                shape=tuple(output.shape[1:]),
                parameters=other_parameters,
                flops=other_flops,
            )
        )
    return layers, flops


def _activation_bytes(model: nn.Module, config: ModelConfig, images: Images) -> int:
    """Return the bytes that autograd keeps for one more sample in a batch."""
    model.to(memory_format=torch.channels_last).train()  # as the trainer has it
    for layers in model.modules():
        if isinstance(layers, FusedSequential):
            layers.fused = False  # as on a GPU; on a CPU less is kept
    # The weights and the norms' statistics do not grow with the batch and drop out.
    few, more = (_saved_bytes(model, _inputs(config, images, n)) for n in (2, 4))
    return (more - few) // 2


def _saved_bytes(model: nn.Module, inputs: Tensor) -> int:
    """Return the size of all that autograd keeps after the forward pass of a batch."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The graph holds what it keeps until the sum is taken: no address is used twice.
        graph = model(inputs)
    total = sum(storages.values())
    del graph
    return total
