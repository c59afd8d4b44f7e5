"""One training while it runs: steps, reports, averages, early stopping, its state on disk."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from mnist_core import models, tasks
from mnist_core.batches.batches import stream_seed
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import compilation, cuda_graph, memory, runtime
from mnist_core.device.runtime import Runtime
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.trainer import averaging, optimizers, schedules, training_state
from mnist_core.trainer.results import Best, Report, StopTraining, TrainResult, check_finite
from mnist_core.trainer.resuming import Resumable
from mnist_core.trainer.training_state import CheckpointTimer

_PLACE = ("step", "epoch", "seconds")
_FOLLOWED = ("lr", "train_accuracy")
"""What reports have beside the task's metrics, if the training is followed."""


class Training(Resumable):
    """One training. A *step* is one of the optimizer: of one batch, or of ``accumulate``."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        machine: Runtime,
        *,
        keep_best: bool,
        follow: bool,
        steps: "Steps | None" = None,
    ) -> None:
        self.config, self.data, self.machine = config, data, machine
        self.now = config.in_force(0)
        torch.manual_seed(stream_seed(config.seed, "model"))
        self.model = machine.place(models.build(config.model, data.n_classes, data.about))
        self.forward = compilation.forward_of(self.model, config)
        self.parameters = list(self.model.parameters())
        self.optimizer = optimizers.build(config.optim, self.parameters)
        models.keep_half_weights(self.model, self.optimizer, machine.dtype)
        self.scaler = runtime.gradient_scaler(machine)
        self.task = tasks.create(self.now, data, machine)
        self.follow = follow
        self.right = self.task.count_right() if follow else None
        self.average = averaging.create(config.average, self.model)
        assert config.optim.lr is not None  # resolve() filled it in
        self.lr = self.used_lr = config.optim.lr
        self.plateau = schedules.Plateau(config.schedule, self.lr)
        self.steps_per_epoch = -(-len(self.task) // config.accumulate)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.report_steps = schedules.report_steps(config, self.steps_per_epoch)
        self.loss_sum = torch.zeros((), device=machine.device, dtype=machine.loss_dtype)
        self.graph = self._graphed() if config.cuda_graph else None
        self.steps = steps
        self.groups: Iterator[list[Tensor]] | None = None
        self.keep_best = keep_best or config.early_stopping > 0
        self.best: Best | None = None
        self.reports_since_best = 0
        self.step = self.images = self.images_reported = 0
        self.history: list[dict[str, float]] = []
        self.epoch_began: dict[str, Tensor] = {}
        self.spent = self.validation_seconds = 0.0
        self.evaluation: Evaluation | None = None

    def run(self, report: Report | None, state: Path | None, timer: CheckpointTimer) -> TrainResult:
        """Train all epochs, or those that are left after the one in the file ``state``."""
        started = time.perf_counter()
        if state is not None:
            known = (self.data.fingerprint, self.data.train_fingerprint)
            earlier = training_state.read(state, self.config, *known)
            if earlier is not None:
                self._restore(earlier)
        stopped = False
        try:
            while self.step < self.total_steps and not self._no_better():
                if self.steps is None:
                    self.advance()
                else:
                    self.steps.advance(self)
                self._report(started)
                if state is not None and timer.due(len(self.history)):
                    with timer.measured():
                        now, fingerprint = self._state(), self.data.fingerprint
                        training_state.write(state, now, self.config, fingerprint)
                if report is not None:
                    # Dropout continues its random stream, whatever the report draws.
                    with self.machine.own_random_state():
                        report(len(self.history), self._metrics(*_FOLLOWED))
        except StopTraining:
            stopped = True
        finally:
            if self.steps is not None:
                self.steps.leave(self)
        return self._result(started, stopped=stopped)

    def _no_better(self) -> bool:
        return 0 < self.config.early_stopping <= self.reports_since_best

    def advance(self) -> None:
        """Do the steps up to the next report."""
        self.own_step()
        while self.step not in self.report_steps:
            self.own_step()

    def own_step(self) -> None:
        """Do the next step."""
        self._step(self.next_group())

    def next_group(self) -> list[Tensor]:
        """Return what the next step takes: the indices of each of its batches."""
        if self.groups is None or self.between_epochs:
            self.groups = self._rest_of_epoch()
        return next(self.groups)

    def _rest_of_epoch(self) -> Iterator[list[Tensor]]:
        """Yield the steps of the epoch that ``step`` is in, from there on: indices of batches."""
        over, done = divmod(self.step, self.steps_per_epoch)
        self._change(over)
        if done:
            self.task.load_state(self.epoch_began)
        else:
            self.epoch_began = self.task.state()
        # The only time in an epoch at which the host waits for a GPU: the order goes there.
        parts = iter(self.task.parts())
        groups = iter(lambda: list(itertools.islice(parts, self.config.accumulate)), [])
        for group in itertools.islice(groups, done):
            for chosen in group:  # made again, so the random streams continue as they would
                self.task.batch(chosen)
        return groups

    def _change(self, epochs: int) -> None:
        """Switch to the settings of the epoch that begins after ``epochs`` epochs."""
        now = self.config.in_force(epochs)
        if now == self.now:
            return
        self.now = now
        optimizers.change(self.optimizer, now.optim)
        assert now.optim.lr is not None
        self.lr = now.optim.lr
        self.plateau.start_from(self.lr)
        self.task.change(now)
        if self.graph is not None:
            self.graph.forget()

    def next_lr(self) -> float:
        """Return the learning rate of the next step."""
        shape = schedules.factor(
            self.now.schedule,
            self.step,
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
        )
        self.used_lr = self.lr * (self.plateau.factor * shape)
        return self.used_lr

    def _step(self, group: list[Tensor]) -> None:
        optimizers.set_lr(self.optimizer, self.next_lr())
        n = sum(len(chosen) for chosen in group)
        if self.graph is not None and n == self.graph.batch_size:
            self.graph(group[0])
        else:
            optimizers.zero_grad(self.optimizer)
            for chosen in group:
                self._passes(chosen, n)
            self._update()
        self.stepped(n)

    def stepped(self, images: int) -> None:
        """Count a step with ``images`` images, which has changed the weights."""
        if self.average is not None:
            self.average.step()
        self.step += 1
        self.images += images

    def _passes(self, chosen: Tensor, n: int) -> None:
        """Add to the gradients those of a batch, which is all ``n`` images of a step or some."""
        inputs, targets = self.task.batch(chosen)
        loss = self.task.loss(self.forward, inputs, targets)
        self.loss_sum += loss.detach() * len(targets)
        if len(targets) < n:  # together the mean over all images of the step
            loss = loss * (len(targets) / n)
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def _update(self) -> None:
        clip = self.now.grad_clip
        optimizers.update(self.optimizer, self.parameters, scaler=self.scaler, grad_clip=clip)

    def _graphed(self) -> cuda_graph.GraphedStep:
        parts = cuda_graph.Parts(
            passes=lambda chosen: self._passes(chosen, len(chosen)),
            update=self._update,
            recorded=optimizers.prepare_recording(self.optimizer),
            model=self.model,
            optimizer=self.optimizer,
            counters=[self.loss_sum, *([] if self.right is None else [self.right])],
            stream=self.task.changes,
        )
        return cuda_graph.GraphedStep(parts, self.config.batch_size)

    def _report(self, started: float) -> None:
        """Validate; keep the figures, and the weights if they are the best so far."""
        pause = time.perf_counter()
        trained = self.images - self.images_reported
        train_loss = self.loss_sum.item() / trained
        self.loss_sum.zero_()
        followed = {"lr": self.used_lr} if self.follow else {}
        if self.follow and self.right is not None:
            followed["train_accuracy"] = self.right.item() / trained
            self.right.zero_()
        self.images_reported = self.images
        if self.average is not None:
            self.average.report(self.step / self.total_steps)
        self.evaluation = self._validate(train_loss)
        metrics = {f"val_{name}": value for name, value in self.evaluation.metrics.items()}
        metrics["train_loss"] = train_loss
        self.plateau.report(metrics["val_loss"])
        now = time.perf_counter()
        self.validation_seconds += now - pause
        place = {"step": len(self.history) + 1, "epoch": self.step / self.steps_per_epoch}
        seconds = self.spent + now - started
        self.history.append({**place, "seconds": seconds, **metrics, **followed})
        self.reports_since_best += 1
        if self.best is None or Best.rank(metrics) > Best.rank(self.best.metrics):
            weights = self._served().state_dict() if self.keep_best else {}
            kept = {name: value.clone() for name, value in weights.items()}
            self.best = Best(step=len(self.history), metrics=metrics, weights=kept)
            self.reports_since_best = 0

    def _served(self) -> nn.Module:
        return self.average.model if self.average and self.average.count else self.model

    def _validate(self, train_loss: float) -> Evaluation:
        if self.average is not None and self.average.count and self.average.has_norms():
            with self.machine.autocast():
                self.average.refresh_norms(self.task.images())
        evaluation = self.task.evaluate(self._served())
        after = f"step {self.step} of {self.total_steps} (lr {self.lr:g}, {self.now.optim.name})"
        check_finite(after, train_loss=train_loss, val_loss=evaluation.loss)
        return evaluation

    def _metrics(self, *also: str) -> dict[str, float]:
        left_out = {*_PLACE, *_FOLLOWED} - {*also}
        return {name: value for name, value in self.history[-1].items() if name not in left_out}

    def _result(self, started: float, *, stopped: bool) -> TrainResult:
        models.forget_half_weights(self.model)
        model, metrics = self._served(), self._metrics()
        if self.config.early_stopping and self.best is not None:
            model.load_state_dict(self.best.weights)
            if self.best.step != len(self.history) or self.evaluation is None:
                self.evaluation = self.task.evaluate(model)
            metrics = self.best.metrics
        elif self.evaluation is None:  # resumed after its last report
            self.evaluation = self.task.evaluate(model)
        seconds = time.perf_counter() - started
        return TrainResult(
            config=self.config,
            metrics=metrics,
            history=self.history,
            evaluation=self.evaluation,
            confusion=self.evaluation.confusion.tolist(),
            model=model.eval(),
            stopped=stopped,
            stopped_early=not stopped and self.step < self.total_steps,
            best=self.best if self.keep_best else None,
            images=self.images,
            seconds=seconds,
            train_seconds=seconds - self.validation_seconds,
            peak_memory=memory.peak(self.machine.device),
            n_parameters=models.count_parameters(self.model),
            device_name=self.machine.device_name,
            about=self.data.about,
        )


class Steps(Protocol):
    """Who does the steps of a training: itself, or a stack of several together."""

    def advance(self, training: Training) -> None:
        """Do the steps of ``training`` up to its next report."""

    @property
    def shared(self) -> bool:
        """Whether the latest steps were those of several trainings."""

    def leave(self, training: Training) -> None:
        """Do no more steps of ``training``; from now on its tensors are its own."""
