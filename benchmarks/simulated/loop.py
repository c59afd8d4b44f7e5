"""Virtual time: a few workers, a table in place of training, and whoever hands out the trials.

What hands out trials is a ``Work``, as for this project's engines, so its own book is asked exactly
as in a real study. An epoch costs one unit of time, whatever is trained; nothing else costs any.
"""

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from objectives.base import Outcome, Task
from simulated.table import Table
from studies.core.trials import Failure
from studies.engines.base import Work

METRIC = "val_accuracy"


@dataclass(frozen=True)
class Ended:
    """A trial that is over.

    Attributes:
        spent: epochs that all workers together had trained by then.
        params: of the trial.
        value: the metric at the end of the full budget; None if it did not get there.
        epochs: that it was trained.
    """

    spent: int
    params: Mapping[str, Any]
    value: float | None
    epochs: int


def run(
    work: Work,
    table: Table,
    *,
    workers: int,
    most: float,
    enough: Callable[[Ended], bool] = lambda ended: False,
    begun_at: Callable[[Task], int] = lambda task: 0,
    seed: int = 0,
) -> list[Ended]:
    """Let ``work`` search in virtual time.

    Args:
        work: hands out trials and judges their reports.
        table: what the trainings come to.
        workers: trials at the same time, >= 1.
        most: no epoch is trained after so many.
        enough: ends the search with this trial.
        begun_at: epochs of a trial that were trained before it was put aside; none by default.
        seed: decides whose report comes first when several come at the same time.

    Returns:
        the trials that are over, in the order of their ends.
    """
    chance = random.Random(seed)
    ended: list[Ended] = []
    running: list[tuple[int, float, Task, int]] = []  # time of the next report, draw, epoch
    spent = 0

    def begin(now: int) -> None:
        while len(running) < workers and (task := work.ask()) is not None:
            work.started(task, 0)
            heapq.heappush(running, (now + 1, chance.random(), task, begun_at(task) + 1))

    begin(0)
    while running and spent < most:
        now, _, task, epoch = heapq.heappop(running)
        spent += 1
        curve = table.curve(task.params)
        begun = begun_at(task)
        goes_on, value = True, None
        if epoch <= len(curve):
            metrics = {METRIC: curve[epoch - 1]}
            goes_on = work.report(task, epoch, metrics)
            work.flush()
        if epoch > len(curve):
            work.fail(task, Failure(kind="NonFiniteLoss", message="as recorded"))
        elif epoch == table.epochs:  # at the last report nothing is left to be stopped
            value = curve[-1]
            work.finish(task, Outcome(metrics=metrics))
        elif not goes_on:
            work.finish(task, Outcome(metrics=metrics, stopped=True))
        else:
            heapq.heappush(running, (now + 1, chance.random(), task, epoch + 1))
            continue
        ended.append(Ended(spent, task.params, value, epoch - begun))
        if enough(ended[-1]):
            break
        begin(now)
    return ended


def time_to(ended: Sequence[Ended], target: float) -> float:
    """Return the epochs spent until a full training reached ``target``; inf: none has."""
    reached = (e.spent for e in ended if e.value is not None and e.value >= target)
    return next(reached, math.inf)


def best_after(ended: Sequence[Ended], spent: float) -> float:
    """Return the best value of the full trainings that were over by ``spent``; -inf: none was."""
    return max(
        (e.value for e in ended if e.value is not None and e.spent <= spent), default=-math.inf
    )
