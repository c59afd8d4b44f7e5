"""Training steps without schedule, validation, averages and reports, for the finders."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mnist_core import models, tasks
from mnist_core.batches.batches import stream_seed
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import compilation, runtime
from mnist_core.device.runtime import Runtime
from mnist_core.trainer import optimizers


class Steps:
    """Steps of one model, over the epochs without end; to be used within a ``runtime.session``."""

    def __init__(self, config: TrainConfig, data: Data, machine: Runtime) -> None:
        """Make the model of a resolved configuration; the data is on the device of ``machine``."""
        torch.manual_seed(stream_seed(config.seed, "model"))
        # with fresh weights of the configuration's seed, in training mode
        self.model = machine.place(models.build(config.model, data.n_classes, data.about))
        self._forward = compilation.forward_of(self.model, config)
        self._scaler = runtime.gradient_scaler(machine)
        self.optimizer = optimizers.build(config.optim, self.model.parameters())
        models.keep_half_weights(self.model, self.optimizer, machine.dtype)
        self.seen = 0
        self._config = config
        self._task = tasks.create(config, data, machine)
        self._batches = self._endless()

    def __call__(self, lr: float | None = None) -> Tensor:
        """Do one step, at ``lr`` if given; return the mean loss before it, on the device."""
        if lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
        batches = [next(self._batches) for _ in range(self._config.accumulate)]
        total = sum(len(targets) for _, targets in batches)
        optimizers.zero_grad(self.optimizer)
        losses = []
        for inputs, targets in batches:
            loss = self._task.loss(self._forward, inputs, targets) * (len(targets) / total)
            losses.append(loss.detach())
            if self._scaler is not None:
                loss = self._scaler.scale(loss)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizers.update(
            self.optimizer,
            self.model.parameters(),
            scaler=self._scaler,
            grad_clip=self._config.grad_clip,
        )
        self.seen += total
        return torch.stack(losses).sum()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield full batches; an epoch's last one, which has what is left, would be an outlier."""
        while True:
            for inputs, targets in self._task.epoch():
                if len(targets) == self._config.batch_size or len(self._task) == 1:
                    yield inputs, targets
