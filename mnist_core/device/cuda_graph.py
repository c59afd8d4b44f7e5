"""Forward and backward pass of a batch as one CUDA graph, an option for NVIDIA GPUs.

A graph is recorded once and then starts all kernels
(docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mnist_core import losses
from mnist_core.config import TrainConfig
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(inputs, targets)``: the mean loss of a batch, the forward pass in it."""

_WARMUP = 3
"""Passes before the recording: libraries choose their algorithms and take memory in them."""


def check(config: TrainConfig, machine: Runtime) -> None:
    """Raise ``ConfigError`` if a graph is to be recorded, but cannot be with these settings."""
    if not config.cuda_graph:
        return
    off = "use cuda_graph=false"
    if machine.device.type != "cuda":
        raise ConfigError(
            f"cuda_graph: only an NVIDIA GPU has it, but the training runs on {machine.device};"
            f" {off}"
        )
    if config.compile:
        raise ConfigError(f"cuda_graph: a compiled model is not recorded; {off} or compile=false")
    if machine.precision == "fp16":
        raise ConfigError(
            f"cuda_graph: the scale of fp16 changes from step to step; {off} or precision=bf16"
        )
    if config.accumulate > 1:
        raise ConfigError(
            f"cuda_graph: a recorded pass starts from no gradient, so accumulate must be 1, but got"
            f" {config.accumulate}; {off}"
        )
    if any("label_smoothing" in dict(change.settings) for change in config.changes):
        raise ConfigError(f"cuda_graph: a change of label_smoothing is not recorded; {off}")
    if losses.embeds(config.loss):
        raise ConfigError(f"cuda_graph: {config.loss.name} is not recorded; {off} or loss.name=bce")


class GraphedBatch:
    """Computes the loss and the gradients of full batches; records itself at the first one."""

    def __init__(self, loss: Loss, model: nn.Module, batch_size: int) -> None:
        """Prepare for ``loss``, which runs ``model`` on a GPU and must not wait for the device."""
        self.batch_size = batch_size
        self._loss = loss
        self._model = model
        self.counters: Sequence[Tensor] = ()  # on the device, that the loss adds to
        self._parameters = list(model.parameters())
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients of the model's parameters; return the loss, a scalar on the device.

        The next call overwrites it.
        """
        if self._graph is None:
            self._graph = self._record(inputs, targets)
        self._inputs.copy_(inputs)
        self._targets.copy_(targets)
        self._graph.replay()
        # Clearing the gradients forgets where the graph writes them.
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._value

    def _record(self, inputs: Tensor, targets: Tensor) -> torch.cuda.CUDAGraph:
        """Record the passes; weights, statistics and random streams are as before after it."""
        device = inputs.device
        self._inputs, self._targets = inputs.clone(), targets.clone()
        changed = [*self._model.buffers(), *self.counters]
        statistics = [buffer.clone() for buffer in changed]
        random = torch.cuda.get_rng_state(device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            # One stream for both: what the warm-up sets up belongs to its stream.
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_WARMUP):
                    self._pass()
            torch.cuda.current_stream(device).wait_stream(stream)
            with torch.cuda.graph(graph, stream=stream):
                self._value = self._pass()
        self._gradients = [parameter.grad for parameter in self._parameters]
        for buffer, before in zip(changed, statistics, strict=True):
            buffer.copy_(before)
        torch.cuda.set_rng_state(random, device)
        return graph

    def _pass(self) -> Tensor:
        # Addresses and sizes are fixed, so smaller batches, and the optimizer's step, run without.
        for parameter in self._parameters:
            parameter.grad = None  # so the backward pass writes gradients instead of adding
        loss = self._loss(self._inputs, self._targets)
        loss.backward()  # type: ignore[no-untyped-call]
        # Not the loss itself, which would keep the nodes of its backward pass, and their stream.
        return loss.detach()


def create(config: TrainConfig, loss: Loss, model: nn.Module) -> GraphedBatch | None:
    """Return what computes full batches; None if graphs are off."""
    return GraphedBatch(loss, model, config.batch_size) if config.cuda_graph else None
