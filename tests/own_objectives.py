"""Objectives as users write them, for ``test_own_objective.py``; workers import this file."""

import dataclasses
import json
import math
import random
from typing import ClassVar

from objectives.base import StopTraining

TOP = {"a": 1.0, "b": 1.2}


def value_of(params, seed):
    return TOP[params["kind"]] - (params["x"] - 0.3) ** 2 + random.Random(seed).gauss(0, 0.01)


def curve(params, *, seed, report):
    """A training of five reports."""
    value = value_of(params, seed)
    for step in range(1, 6):
        report(step, {"score": value - math.exp(-step)})
    return {"score": value, "other": 3}


curve.reports = 5


def silent(params, seed):
    """Reports nothing, and returns a number."""
    return value_of(params, seed)


def per_cent(params):
    return 93.0


def huge(params):
    return -1e300 * params["x"]


def catching(params, report):
    for step in range(1, 4):
        try:
            report(step, step)
        except StopTraining:
            break
    return step


class Kept:
    """Has every hook."""

    reports: ClassVar[int] = 2
    prepared = 0

    def prepare(self):
        self.prepared += 1
        return "the data"

    def cost(self, params):
        return {"seconds": 0.5, "parameters": 10 if params["kind"] == "a" else 20}

    def __call__(self, params, *, seed, report):
        assert self.prepared == 1
        self.value = value_of(params, seed)
        report(1, self.value - 0.1)
        report(2, self.value)
        return {"score": self.value}

    def keep(self, params, seed, folder):
        (folder / "value").write_text(json.dumps(self.value))

    def test(self, params, seed, folder):
        assert abs(value_of(params, seed) - json.loads((folder / "value").read_text())) < 1e-12
        return {"score": json.loads((folder / "value").read_text()) - 0.5}

    def describe(self):
        return {"wheels": "4"}


@dataclasses.dataclass(frozen=True)
class Shifted:
    by: float = 0.0

    def __call__(self, params, seed):
        return value_of(params, seed) + self.by


@dataclasses.dataclass
class Mutable:
    by: float = 0.0

    def __call__(self, params):
        return 1.0


class NeedsMore:
    def __init__(self, n):
        self.n = n

    def __call__(self, params):
        return self.n


class NotCalled:
    pass


def nothing(params):
    pass


def another_name(params):
    return {"accuracy": 0.5}


def words(params):
    return {"score": "high"}


def not_a_number(params):
    return {"score": math.nan}


def raises(params):
    raise ValueError(f"x is {params['x'] > 0}\nand more")


def a_list(params):
    return [1, 2]


def other_arguments(params, budget):
    return 1


def broken_prepare(params):
    return 1.0


def _fail():
    raise FileNotFoundError("digits.csv")


broken_prepare.prepare = _fail
