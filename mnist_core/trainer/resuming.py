"""What a training keeps on disk at a report, and how it continues from there."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mnist_core.device.runtime import Runtime
from mnist_core.tasks import Task
from mnist_core.trainer import training_state
from mnist_core.trainer.averaging import Average
from mnist_core.trainer.results import Best
from mnist_core.trainer.schedules import Plateau
from mnist_core.trainer.training_state import TrainingState


class Resumable:
    """The parts of a training that its next step depends on; ``Training`` fills them in."""

    machine: Runtime
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    task: Task
    average: Average | None
    plateau: Plateau
    steps_per_epoch: int
    keep_best: bool
    follow: bool
    best: Best | None
    reports_since_best: int
    step: int
    images: int
    images_reported: int
    history: list[dict[str, float]]
    epoch_began: dict[str, Tensor]
    groups: Iterator[list[Tensor]] | None
    spent: float

    @property
    def between_epochs(self) -> bool:
        """Whether the next step is the first of an epoch."""
        return self.step % self.steps_per_epoch == 0

    def _change(self, epochs: int) -> None:
        """Switch to the settings of the epoch that begins after ``epochs`` epochs."""
        raise NotImplementedError

    def _state(self) -> TrainingState:
        tensors: dict[str, dict[str, Tensor]] = {
            "model": self.model.state_dict(),
            "optimizer": training_state.optimizer_tensors(self.optimizer),
            "batches": self.epoch_began,
            "random": self.machine.random_state(),
        }
        if self.average is not None:
            tensors["average"] = self.average.model.state_dict()
        if self.best is not None and self.keep_best:
            tensors["best"] = self.best.weights
        values: dict[str, Any] = {
            "step": self.step,
            "images": self.images,
            "history": self.history,
            "best": {"step": self.best.step, "metrics": self.best.metrics} if self.best else None,
            "reports_since_best": self.reports_since_best,
            "plateau": [self.plateau.factor, self.plateau.best, self.plateau.bad],
            "averaged": self.average.count if self.average else 0,
            "scaler": self.scaler.state_dict() if self.scaler else None,
        }
        return TrainingState(tensors=tensors, values=values)

    def _restore(self, state: TrainingState) -> None:
        tensors, values = state.tensors, state.values
        self.model.load_state_dict(tensors["model"])
        training_state.restore_optimizer(self.optimizer, tensors.get("optimizer", {}))
        self.epoch_began = dict(tensors["batches"])
        self.machine.set_random_state(tensors["random"])
        if self.average is not None:
            self.average.model.load_state_dict(tensors["average"])
            self.average.count = values["averaged"]
        if values["best"]:
            self.best = Best(**values["best"], weights=dict(tensors.get("best", {})))
        self.reports_since_best = values["reports_since_best"]
        self.plateau.factor, self.plateau.best, self.plateau.bad = values["plateau"]
        if self.scaler is not None:
            self.scaler.load_state_dict(values["scaler"])
        self.step, self.images = values["step"], values["images"]
        self.images_reported = self.images
        self.history = values["history"]
        self.follow = self.follow and "lr" in self.history[-1]  # all rows have the same columns
        self.spent = self.history[-1]["seconds"]
        if self.step % self.steps_per_epoch == 0:
            # The streams stand where that epoch ended: draw it once more, as it was.
            self._change(self.step // self.steps_per_epoch - 1)
            self.task.load_state(self.epoch_began)
            for _ in self.task.epoch():
                pass
