"""Trainings by turns in one process: those of one kind do their steps together.

from mnist_core.stacked.together import train_together

results = train_together([config.override({"seed": seed}) for seed in range(8)], data)
"""

from collections.abc import Callable, Sequence
from typing import Any

from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.stacked.kinds import kind, why_alone
from mnist_core.stacked.stack import Member, Stack
from mnist_core.stacked.turns import Turn
from mnist_core.train import Report, TrainingFailed, TrainResult, train
from mnist_core.trainer.training import Steps, Training

Call = Callable[[Turn, Steps], Any]
"""A call that trains: it hands the steps that it gets to ``train``."""


class Together:
    """Calls that take turns, and the stacks of the trainings in them."""

    def __init__(self, *, may_stack: Callable[[Training], bool] = lambda training: True) -> None:
        """Begin without calls.

        Args:
            may_stack: whether trainings like this one are to share their steps, as they can.
        """
        self.turns: list[Turn] = []
        self._may_stack = may_stack
        self._stacks: dict[str, Stack] = {}
        self._held: dict[Training, Turn] = {}  # a stack does their steps

    def add(self, call: Call) -> Turn:
        """Let ``call`` take part from the next ``resume`` on."""
        turn = Turn(lambda turn: call(turn, _Steps(self, turn)))
        self.turns.append(turn)
        return turn

    def resume(self) -> list[Turn]:
        """Let each call run up to its next steps; return those that have ended."""
        for turn in [one for one in self.turns if one not in self._held.values()]:
            turn.resume()
        ended = [one for one in self.turns if one.ended]
        self.turns = [one for one in self.turns if not one.ended]
        return ended

    def step(self) -> None:
        """Do the steps of each stack, up to the next report in it."""
        self._stacks = {key: stack for key, stack in self._stacks.items() if len(stack)}
        for stack in self._stacks.values():
            try:
                due = stack.advance()
            except Exception as error:  # each training ends as if it had raised it alone
                due = stack.trainings
                for training in due:
                    self._held[training].throw(error)
            for training in due:
                del self._held[training]

    def close(self, error: BaseException) -> None:
        """End all calls: ``error`` is raised where each waits."""
        for turn in self.turns:
            turn.close(error)
        self.turns = []

    def join(self, training: Training, turn: Turn) -> Stack | None:
        """Return the stack that does the steps of ``training`` from now on; None: itself."""
        alone = why_alone(training.config, follow=training.follow)
        if alone or not training.between_epochs or not self._may_stack(training):
            return None
        stack = self._stacks.setdefault(kind(training.config, training.data), Stack())
        stack.join(Member(training, turn.state))
        return stack

    def hold(self, training: Training, turn: Turn) -> None:
        """Leave ``turn`` out until the steps up to the next report are done."""
        self._held[training] = turn


class _Steps:
    """The steps of one training, which takes turns."""

    def __init__(self, together: Together, turn: Turn) -> None:
        self._together, self._turn = together, turn
        self._training: Training | None = None
        self._stack: Stack | None = None

    def advance(self, training: Training) -> None:
        """Do the steps of ``training`` up to its next report."""
        if self._training is not training:
            self._training, self._stack = training, self._together.join(training, self._turn)
        if self._stack is not None:
            self._together.hold(training, self._turn)
        self._turn.wait()
        if self._stack is None:
            training.advance()

    @property
    def shared(self) -> bool:
        """Whether the latest steps were those of several trainings."""
        return self._stack is not None

    def leave(self, training: Training) -> None:
        """Do no more steps of ``training``; from now on its tensors are its own."""
        if self._stack is not None and self._training is training:
            self._stack.leave(training)


def train_together(
    configs: Sequence[TrainConfig], data: Data, reports: Sequence[Report | None] = ()
) -> list[TrainResult | TrainingFailed]:
    """Train one model of each configuration on ``data``; see ``train``.

    Args:
        configs: those that ``kinds.kind`` tells apart, or that cannot be stacked, take turns.
        data: on the device of ``configs``.
        reports: of each configuration; none: nothing is called.

    Returns:
        A result for each configuration, or how its training failed. Beside rounding the results
        are those of ``train``, but for the seconds.
    """

    def call(config: TrainConfig, report: Report | None) -> Call:
        def run(turn: Turn, steps: Steps) -> TrainResult | TrainingFailed:
            try:
                return train(config, data, report, steps=steps)
            except TrainingFailed as error:
                return error

        return run

    together = Together()
    each = zip(configs, reports or [None] * len(configs), strict=True)
    turns = [together.add(call(config, report)) for config, report in each]
    try:
        while together.turns:
            together.resume()
            together.step()
    except BaseException as error:
        together.close(error)
        raise
    return [turn.result() for turn in turns]
