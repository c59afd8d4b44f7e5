"""The trainer: ``train(config, data, report) -> TrainResult``.

It knows nothing of studies; all it knows of the outside is that ``report`` may raise
``StopTraining``. Inside an epoch nothing is copied from the device to the host: losses accumulate
there and are read once for each report.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_core import models, optimizers, runtime, schedules, tasks
from mnist_core.batches import stream_seed
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.errors import ConfigError
from mnist_core.runtime import Runtime
from mnist_core.tasks import Evaluation

Report = Callable[[int, Mapping[str, float]], None]
"""``report(step, metrics)``: called after each validation, steps counted from 1."""


class StopTraining(Exception):
    """Raised by ``report`` to end the training; the result so far is returned."""


class TrainingFailed(Exception):
    """The training cannot go on.

    Attributes:
        kind: ``NonFiniteLoss`` or ``OutOfMemory``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """What a training came to.

    Attributes:
        config: the configuration with nothing left to guess: device, precision, threads, and the
            optimizer's defaults are filled in. Training it again gives the same result.
        metrics: what the task judges by, e.g. ``val_accuracy``, ``val_loss``, ``val_macro_f1``,
            and ``train_loss``, at the last report; the model is the last one, not chosen by them.
        history: one entry a report: ``step`` (from 1), ``epoch``, ``seconds`` and the metrics.
        confusion: of the validation images, rows are true classes.
        model: the trained model, on the device, in evaluation mode.
        stopped: whether ``report`` ended the training early.
        images: images trained on.
        seconds: wall time of the whole training.
        train_seconds: wall time less the validations.
        n_parameters: trainable parameters.
        device_name: what the device is called.
    """

    config: TrainConfig
    metrics: dict[str, float]
    history: list[dict[str, float]]
    confusion: list[list[int]]
    model: nn.Module
    stopped: bool
    images: int
    seconds: float
    train_seconds: float
    n_parameters: int
    device_name: str


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in everything that is left to this machine or to torch's defaults.

    Raises:
        ConfigError: a model or a device that is not there, a value that the optimizer has not.
    """
    model = models.resolve(config.model)
    tasks.check(config)
    machine = runtime.resolve(config)
    return config.model_copy(
        update={
            "model": model,
            "device": str(machine.device),
            "precision": machine.precision,
            "threads": machine.threads,
            "optim": optimizers.resolve(config.optim),
        }
    )


def train(config: TrainConfig, data: Data, report: Report | None = None) -> TrainResult:
    """Train one model.

    Args:
        config: everything the training depends on, beside the data.
        data: train and validation images, on the device of ``config``.
        report: called after each validation; it may raise ``StopTraining``.

    Raises:
        ConfigError: the configuration cannot be trained on this machine or data.
        TrainingFailed: the loss is no finite number any more, or memory ran out.
    """
    config = resolve(config)
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        try:
            return _Training(config, data, machine).run(report)
        except RuntimeError as error:
            # The CPU's allocator has no exception of its own.
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise TrainingFailed("OutOfMemory", str(error).splitlines()[0]) from None
            raise


class _Training:
    """One training while it runs."""

    def __init__(self, config: TrainConfig, data: Data, machine: Runtime) -> None:
        if data.train.images.device != machine.device:
            raise ConfigError(
                f"device: the data lies on {data.train.images.device}, "
                f"but the training runs on {machine.device}; load the data there"
            )
        self.config = config
        self.data = data
        self.machine = machine
        torch.manual_seed(stream_seed(config.seed, "model"))
        self.model = models.build(config.model, data.n_classes).to(machine.device)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.parameters = list(self.model.parameters())
        self.optimizer = optimizers.build(config.optim, self.parameters)
        self.task = tasks.create(config, data, machine)
        self.total_steps = len(self.task) * config.epochs
        self.loss_sum = torch.zeros((), device=machine.device)

    def run(self, report: Report | None) -> TrainResult:
        """Train all epochs."""
        begun = time.perf_counter()
        validation_seconds = 0.0
        history: list[dict[str, float]] = []
        stopped = False
        step = images = images_reported = 0
        ends = self._report_steps()
        evaluation: Evaluation | None = None
        try:
            for _ in range(self.config.epochs):
                for inputs, targets in self.task.epoch():
                    self._step(step, inputs, targets)
                    step += 1
                    images += len(targets)
                    if step not in ends:
                        continue
                    pause = time.perf_counter()
                    train_loss = self.loss_sum.item() / (images - images_reported)
                    self.loss_sum.zero_()
                    images_reported = images
                    evaluation = self._validate(step, train_loss)
                    metrics = {f"val_{k}": v for k, v in evaluation.metrics.items()}
                    metrics["train_loss"] = train_loss
                    now = time.perf_counter()
                    validation_seconds += now - pause
                    place = {"step": len(history) + 1, "epoch": step / len(self.task)}
                    history.append({**place, "seconds": now - begun, **metrics})
                    if report is not None:
                        # Dropout goes on drawing where it was, whatever the report draws.
                        with self.machine.own_random_state():
                            report(len(history), metrics)
        except StopTraining:
            stopped = True
        if evaluation is None:
            raise AssertionError("the last step of a training always reports")
        seconds = time.perf_counter() - begun
        self.model.eval()
        return TrainResult(
            config=self.config,
            metrics=metrics,
            history=history,
            confusion=evaluation.confusion.tolist(),
            model=self.model,
            stopped=stopped,
            images=images,
            seconds=seconds,
            train_seconds=seconds - validation_seconds,
            n_parameters=models.count_parameters(self.model),
            device_name=self.machine.device_name,
        )

    def _report_steps(self) -> frozenset[int]:
        """Return the steps (from 1) after which the model is validated."""
        per_epoch, reports = len(self.task), self.config.reports_per_epoch
        if reports > per_epoch:
            raise ConfigError(
                f"reports_per_epoch: {reports} is more than the {per_epoch} batches of an epoch"
            )
        within = [-(-per_epoch * k // reports) for k in range(1, reports + 1)]
        return frozenset(e * per_epoch + k for e in range(self.config.epochs) for k in within)

    def _step(self, step: int, inputs: Tensor, targets: Tensor) -> None:
        config = self.config
        lr = config.optim.lr
        assert lr is not None  # resolve() filled it in
        factor = schedules.factor(
            config.schedule,
            step,
            total_steps=self.total_steps,
            steps_per_epoch=len(self.task),
        )
        for group in self.optimizer.param_groups:
            group["lr"] = lr * factor
        loss = self.task.loss(self.model, inputs, targets)
        optimizers.zero_grad(self.optimizer)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.grad_clip:
            nn.utils.clip_grad_norm_(self.parameters, config.grad_clip)
        optimizers.step(self.optimizer)
        self.loss_sum += loss.detach() * len(targets)

    def _validate(self, step: int, train_loss: float) -> Evaluation:
        evaluation = self.task.evaluate(self.model)
        for name, value in (("train_loss", train_loss), ("val_loss", evaluation.loss)):
            if not math.isfinite(value):
                raise TrainingFailed(
                    "NonFiniteLoss",
                    f"{name} is {value} after step {step} of {self.total_steps} "
                    f"(lr {self.config.optim.lr:g}, {self.config.optim.name})",
                )
        return evaluation
