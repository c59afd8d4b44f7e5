"""What a training will cost, extrapolated from two of its steps."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_core import models
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.data import Data
from mnist_core.device import memory, runtime
from mnist_core.finders.steps import Steps
from mnist_core.images import MNIST, Images

_FORWARD = 1 / 3  # of a step's operations: the backward pass has twice as many as the forward pass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One training."""

    parameters: int
    flops: int  # operations of the forward pass for one image or pair, see ``forward_flops``
    seconds: float  # of all its epochs with a validation after each, on an idle machine
    epochs: int
    memory: int  # bytes at most so far: on a CPU of the whole process, see ``memory.peak``


def measure(config: TrainConfig, data: Data) -> Cost:
    """Estimate the cost of a resolved configuration, to some ten per cent, by two steps.

    Raises:
        ConfigError: if the model and the data do not fit together.
        DataError: if the images do not make what the task needs.
    """
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        memory.reset_peak(machine.device)
        steps = Steps(config, data, machine)
        steps()
        _wait(machine.device)
        seen, started = steps.seen, time.perf_counter()
        steps()
        _wait(machine.device)
        a_sample = (time.perf_counter() - started) / (steps.seen - seen)
    pairs = models.task(config.model) == "pairs"
    trained = config.pairs.per_epoch if pairs else len(data.train)
    judged = config.pairs.evaluation if pairs else len(data.validation)
    judgings = config.epochs * config.reports_per_epoch
    return Cost(
        parameters=models.count_parameters(steps.model),
        flops=forward_flops(config.model, data.n_classes, data.about),
        seconds=a_sample * (config.epochs * trained + judgings * judged * _FORWARD),
        epochs=config.epochs,
        memory=memory.peak(machine.device),
    )


def forward_flops(config: ModelConfig, n_classes: int, images: Images = MNIST) -> int:
    """Count a forward pass's operations in convolutions and linear layers, a multiply-add being 2.

    ``config`` is a resolved model.
    """
    # torch.utils.flop_counter, which summary uses, imports torch's compiler: more than a second, in
    # each worker.
    total = 0

    def count(layer: nn.Conv2d | nn.Linear, inputs: object, output: Tensor) -> None:
        # Each weight is used once for each position that the layer puts out.
        nonlocal total
        total += 2 * layer.weight.numel() * (output.numel() // layer.weight.shape[0])

    model = models.build(config, n_classes, images).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, *models.input_shape(config, images)))
    return total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
