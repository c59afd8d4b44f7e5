"""What a training will cost, extrapolated from two of its steps."""

import time
from dataclasses import dataclass

import torch

from mnist_core import memory, models, runtime
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.finders.steps import Steps

_FORWARD = 1 / 3
"""Of a step's operations: the backward pass has twice as many as the forward pass."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One training.

    Attributes:
        parameters: trainable ones.
        seconds: of all its epochs with a validation after each, nothing else going on.
        epochs: how many these are.
        memory: bytes at most so far: on a CPU of the whole process, see ``memory.peak``.
    """

    parameters: int
    seconds: float
    epochs: int
    memory: int


def measure(config: TrainConfig, data: Data) -> Cost:
    """Do two steps, the first of which pays for what is done once, and time the second.

    An estimate, good to some ten per cent: nothing here knows what else will run on the machine.

    Args:
        config: a configuration that ``train.resolve`` has filled in.
        data: on the device of ``config``.

    Raises:
        ConfigError: the model and the data do not fit together.
        DataError: the images do not make what the task needs.
    """
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        memory.reset_peak(machine.device)
        steps = Steps(config, data, machine)
        steps()
        _wait(machine.device)
        seen, begun = steps.seen, time.perf_counter()
        steps()
        _wait(machine.device)
        a_sample = (time.perf_counter() - begun) / (steps.seen - seen)
    pairs = models.task(config.model) == "pairs"
    trained = config.pairs.per_epoch if pairs else len(data.train)
    judged = config.pairs.evaluation if pairs else len(data.validation)
    judgings = config.epochs * config.reports_per_epoch
    return Cost(
        parameters=models.count_parameters(steps.model),
        seconds=a_sample * (config.epochs * trained + judgings * judged * _FORWARD),
        epochs=config.epochs,
        memory=memory.peak(machine.device),
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
