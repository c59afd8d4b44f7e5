"""The step of a full batch as one CUDA graph, an option for NVIDIA GPUs.

A graph is recorded once and then starts all kernels
(docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). The batch is gathered inside, from the
indices of its images. So an epoch is one launch a step, beside those that bring the next indices
and the next learning rate, and the host waits for the device at none of them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_core import losses
from mnist_core.config import TrainConfig
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError

_WARMUP = 3
"""Steps before the recording: libraries choose their algorithms and take memory in them."""


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
            f"cuda_graph: a recorded step starts from no gradient, so accumulate must be 1, but got"
            f" {config.accumulate}; {off}"
        )
    if losses.embeds(config.loss):
        raise ConfigError(f"cuda_graph: {config.loss.name} is not recorded; {off} or loss.name=bce")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a step consists of; nothing in it may wait for the device.

    Attributes:
        passes: takes the indices of a batch; sets the gradients, and adds to ``counters``.
        update: the optimizer's step.
        recorded: whether ``update`` can be part of the graph; else it runs after each replay.
        counters: tensors on the device that a step adds to.
        stream: the random stream on the device from which a batch draws.
    """

    passes: Callable[[Tensor], None]
    update: Callable[[], None]
    recorded: bool
    model: nn.Module
    optimizer: torch.optim.Optimizer
    counters: Sequence[Tensor]
    stream: torch.Generator


class GraphedStep:
    """Does the steps of full batches; records itself at the first one."""

    def __init__(self, parts: Parts, batch_size: int) -> None:
        """Prepare for batches of ``batch_size``."""
        self.batch_size = batch_size
        self._parts = parts
        self._parameters = list(parts.model.parameters())
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, chosen: Tensor) -> None:
        """Do the step of the batch with the indices ``chosen``, which are on the device."""
        if self._graph is None:
            self._graph = self._record(chosen)
        self._chosen.copy_(chosen)
        self._graph.replay()
        if not self._parts.recorded:
            # Clearing the gradients forgets where the graph writes them.
            for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
                parameter.grad = gradient
            self._parts.update()

    def forget(self) -> None:
        """Record again at the next step: the graph holds settings and addresses that change."""
        self._graph = None

    def _record(self, chosen: Tensor) -> torch.cuda.CUDAGraph:
        """Record a step; weights, states, statistics and random streams are as before after it."""
        device, stream = chosen.device, self._parts.stream
        self._chosen = chosen.clone()
        before = {id(tensor): (tensor, tensor.clone()) for tensor in self._changed()}
        random, drawn = torch.cuda.get_rng_state(device), stream.get_state()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(stream)  # torch's own one it knows
        with torch.cuda.device(device):
            # One stream for both: what the warm-up sets up belongs to its stream.
            apart = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            apart.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(apart):
                for _ in range(_WARMUP):
                    self._step()
            torch.cuda.current_stream(device).wait_stream(apart)
            with self._capturable(), torch.cuda.graph(graph, stream=apart):
                self._step()
        self._gradients = [parameter.grad for parameter in self._parameters]
        with torch.no_grad():
            for tensor in self._changed():
                if id(tensor) in before:
                    tensor.copy_(before[id(tensor)][1])
                else:
                    tensor.zero_()  # the optimizer's state, made in the warm-up, begins at 0
        torch.cuda.set_rng_state(random, device)
        stream.set_state(drawn)
        return graph

    def _step(self) -> None:
        # Addresses and sizes are fixed, so smaller batches run without.
        for parameter in self._parameters:
            parameter.grad = None  # so the backward pass writes gradients instead of adding
        self._parts.passes(self._chosen)
        if self._parts.recorded:
            self._parts.update()

    def _changed(self) -> Iterator[Tensor]:
        """Yield all tensors that a step may change."""
        parts = self._parts
        yield from (*self._parameters, *parts.model.buffers(), *parts.counters)
        for state in parts.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    @contextlib.contextmanager
    def _capturable(self) -> Iterator[None]:
        """Let the optimizer step into a graph; outside of one torch warns of this setting."""
        groups = [group for group in self._parts.optimizer.param_groups if "capturable" in group]
        for group in groups:
            group["capturable"] = True
        try:
            yield
        finally:
            for group in groups:
                group["capturable"] = False
