"""Objectives for the tests of the engine ``ray``; workers import this, so it is light."""

import time
from dataclasses import dataclass

from objectives.base import Outcome, Report, Task

MIB = 1024**2


@dataclass(frozen=True)
class Greedy:
    """Trial 0 takes for ever, trial 1 takes much memory, the others neither."""

    def __call__(self, task: Task, report: Report) -> Outcome:
        report(1, {"val_accuracy": 0.5})
        if task.number == 1:
            hoard = bytearray(b"1") * (600 * MIB)
            time.sleep(600)
            del hoard
        if task.number == 0:
            time.sleep(600)
        return Outcome(metrics={"val_accuracy": 0.5})


@dataclass(frozen=True)
class Unloadable:
    """Can be sent, but not loaded."""

    def __call__(self, task: Task, report: Report) -> Outcome:
        raise AssertionError("it was loaded")

    def __reduce__(self) -> tuple[object, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise ImportError("no such library here")


@dataclass(frozen=True)
class Ranked:
    """Trial n is better than all before it if n is even, else worse; four reports."""

    def __call__(self, task: Task, report: Report) -> Outcome:
        value = 0.5 + (1 if task.number % 2 == 0 else -1) * task.number / 100
        for step in (1, 2, 3, 4):
            report(step, {"val_accuracy": value})
        return Outcome(metrics={"val_accuracy": value})
