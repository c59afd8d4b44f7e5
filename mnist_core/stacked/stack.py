"""A stack: trainings of one kind that do their steps together, each with its own numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_core.device import runtime
from mnist_core.stacked import rows
from mnist_core.stacked.losses_together import LossesTogether, draw_masks, dropped_shapes
from mnist_core.stacked.process_state import ProcessState
from mnist_core.stacked.rows import Rows
from mnist_core.stacked.updates import RULES
from mnist_core.trainer.training import Training


@dataclass(eq=False)
class Member:
    """A training in a stack, and what it alone sees of torch's random state."""

    training: Training
    state: ProcessState


class Stack:
    """The trainings of one kind that run now.

    All members are at the same batch of an epoch, not necessarily of the same epoch: a training
    that comes later waits until the others have finished theirs.
    """

    def __init__(self) -> None:
        """Begin without members."""
        self._members: list[Member] = []
        self._waiting: list[Member] = []
        self._rows: Rows | None = None  # None: members have come or gone
        self._losses: LossesTogether | None = None
        self._shapes: dict[torch.Size, dict[str, torch.Size]] = {}

    def __len__(self) -> int:
        """Return the number of trainings, those that wait included."""
        return len(self._members) + len(self._waiting)

    @property
    def trainings(self) -> list[Training]:
        """The trainings, those that wait included."""
        return [one.training for one in (*self._members, *self._waiting)]

    def join(self, member: Member) -> None:
        """Take in a training that is between two epochs."""
        self._waiting.append(member)

    def leave(self, training: Training) -> None:
        """Let a training go; its tensors are its own from now on."""
        self._waiting = [one for one in self._waiting if one.training is not training]
        if any(one.training is training for one in self._members):
            self._members = [one for one in self._members if one.training is not training]
            rows.take_out(training)
            self._rows = None

    def advance(self) -> list[Training]:
        """Do steps until a report is due; return the trainings whose it is."""
        first = self.trainings[0]
        due: list[Training] = []
        with runtime.session(first.machine, deterministic=first.config.deterministic):
            while not due:
                self.step()
                due = [
                    t for t in (one.training for one in self._members) if t.step in t.report_steps
                ]
        return due

    def _take_in(self) -> None:
        if self._waiting and all(one.training.between_epochs for one in self._members):
            self._members, self._waiting = self._members + self._waiting, []
            self._rows = None

    def step(self) -> None:
        """Do a step of each member."""
        self._take_in()
        trainings = [one.training for one in self._members]
        if self._rows is None:
            self._rows = Rows(trainings, RULES[trainings[0].config.optim.name])
        groups = [one.next_group() for one in trainings]
        n = sum(len(chosen) for chosen in groups[0])
        gradients: Tensor | None = None
        for parts in zip(*groups, strict=True):
            found = self._passes(self._rows, parts, n)
            gradients = found if gradients is None else gradients + found
        assert gradients is not None
        self._rows.update(gradients, [one.next_lr() for one in trainings])
        for one in trainings:
            one.stepped(n)

    def _passes(self, of: Rows, parts: tuple[Tensor, ...], n: int) -> Tensor:
        """Return the gradients of a batch, which is all ``n`` images of a step or some."""
        inputs, targets = self._batch(parts)
        if self._losses is None:
            self._losses = LossesTogether(self._members[0].training)
        tensors = of.tensors()
        losses = self._losses(tensors, self._masks(inputs[0]), inputs, targets)
        size = len(parts[0])
        of.loss_sums += losses.detach() * size
        # Together the mean over all images of the step.
        return of.gradients((losses * (size / n)).sum(), tensors)

    def _batch(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return inputs ``[K, B, ...]`` and targets ``[K, B, ...]``."""
        trainings = [one.training for one in self._members]
        if any(one.now.augment.active for one in trainings):
            made = [one.task.batch(chosen) for one, chosen in zip(trainings, parts, strict=True)]
            return torch.stack([one for one, _ in made]), torch.stack([one for _, one in made])
        # All take the same images, so one gathers for all.
        inputs, targets = trainings[0].task.batch(torch.cat(parts))
        k = len(trainings)
        return inputs.view(k, -1, *inputs.shape[1:]), targets.view(k, -1, *targets.shape[1:])

    def _masks(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the factors ``[K, ...]`` of each dropout for inputs of one member."""
        assert self._losses is not None
        if not self._losses.dropouts:
            return {}
        if inputs.shape not in self._shapes:
            self._shapes[inputs.shape] = dropped_shapes(self._members[0].training, inputs)
        shapes, drawn = self._shapes[inputs.shape], []
        for one in self._members:
            with one.state.in_force():
                drawn.append(list(draw_masks(one.training, shapes)))
        return {name: torch.stack(of) for name, *of in zip(shapes, *drawn, strict=True)}
