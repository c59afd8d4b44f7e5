"""Whether trainings are faster together than one after the other: measured, not assumed."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import device_errors, runtime
from mnist_core.device.runtime import Runtime
from mnist_core.stacked.kinds import kind
from mnist_core.stacked.process_state import ProcessState
from mnist_core.stacked.stack import Member, Stack
from mnist_core.trainer.training import Training

_WARMUP, _STEPS, _ROUNDS = 2, 4, 3
"""Steps before the measurement; steps of a round; rounds, of which the medians are compared."""


@dataclass(frozen=True)
class Measured:
    """Seconds of a step of all trainings in each round, and the mean loss of the first steps."""

    alone: list[float]  # one training after the other
    together: list[float]
    loss_alone: float
    loss_together: float

    @property
    def faster(self) -> bool:
        """Whether they are faster together."""
        return statistics.median(self.together) < statistics.median(self.alone)


def measure(
    config: TrainConfig, data: Data, members: int, *, steps: int = _STEPS, rounds: int = _ROUNDS
) -> Measured:
    """Time the steps of ``members`` trainings of the resolved ``config``, which are thrown away."""
    machine = runtime.resolve(config)
    alone, together = [], []
    with runtime.session(machine, deterministic=config.deterministic):
        lone, stacked = (
            [_member(config, data, machine, seed) for seed in range(members)] for _ in range(2)
        )
        stack = Stack()
        for one in stacked:
            stack.join(one)
        for _ in range(_WARMUP):
            for one in lone:
                with one.state.in_force():  # the same dropout as in the stack, to compare losses
                    one.training.own_step()
            stack.step()
        losses = _loss(lone), _loss(stacked)
        for _ in range(rounds):
            alone.append(_seconds(lambda: _each(lone), steps, machine))
            together.append(_seconds(stack.step, steps, machine))
        return Measured(alone, together, *losses)


def _each(members: Sequence[Member]) -> None:
    for one in members:
        one.training.own_step()


def _loss(members: Sequence[Member]) -> float:
    return statistics.fmean(one.training.loss_sum.item() / one.training.images for one in members)


def _member(config: TrainConfig, data: Data, machine: Runtime, seed: int) -> Member:
    own = config.model_copy(update={"seed": seed})
    training = Training(own, data, machine, keep_best=False, follow=False)
    return Member(training, ProcessState())


def _seconds(step: Callable[[], object], steps: int, machine: Runtime) -> float:
    _finish(machine)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _finish(machine)
    return (time.perf_counter() - began) / steps


def _finish(machine: Runtime) -> None:
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)


class Gains:
    """Says of each kind of training once whether its steps are to be shared."""

    def __init__(self, members: int, *, always: bool, say: Callable[[str], object]) -> None:
        """Take the number of trainings at once.

        Args:
            members: trainings that share their steps.
            always: whether they do so even if that is slower.
            say: gets a line for the user about each measurement.
        """
        self._members, self._always, self._say = members, always, say
        self._known: dict[str, bool] = {}

    def worth_it(self, training: Training) -> bool:
        """Return whether trainings like this one are to share their steps."""
        if self._always or self._members < 2:
            return self._always
        config, data = training.config, training.data
        key = kind(config, data)
        if key not in self._known:
            self._known[key] = self._measured(config, data)
        return self._known[key]

    def _measured(self, config: TrainConfig, data: Data) -> bool:
        what = f"a step of {self._members} trainings of {config.model.name}"
        try:
            found = measure(config, data, self._members)
        except (RuntimeError, MemoryError) as error:
            if not device_errors.is_out_of_memory(error):
                raise
            self._say(f"{what} needs more memory than there is; they take turns")
            return False
        self._say(
            f"{what}: {1e3 * statistics.median(found.together):.3g} ms together,"
            f" {1e3 * statistics.median(found.alone):.3g} ms one after the other;"
            f" they {'share their steps' if found.faster else 'take turns'}"
        )
        return found.faster
