"""What ``result.json`` in a study's folder says, in short: so a list need not judge again."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.console.plain_text import counted, one_line
from studies.statistics.intervals import Interval

FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best value of a study, confirmed or of its search alone."""

    metric: str
    value: float  # confirmed: the mean over fresh seeds
    interval: Interval | None = None  # of the mean; None: a value of the search


@dataclass(frozen=True, kw_only=True)
class KeptResult:
    """The parts of a result that a list shows."""

    states: Mapping[str, int]  # number of search trials in each state
    confirm_seeds: int
    best: Best | None  # None: nothing is confirmed, or there are several objectives
    verdict: str  # in a few words
    over: bool  # whether the test set was read, or there is none


def read(folder: Path) -> KeptResult | None:
    """Return the result that ``folder`` holds; None: there is none, or another program's."""
    try:
        return _of(json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _of(content: Mapping[str, Any]) -> KeptResult:
    test, winner = content["test_set"], content["winner"]
    several = len(content["metric"]["objectives"]) > 1
    best = None
    if winner is not None and not several:
        interval = _interval(**winner["confirm"])
        metric = str(content["metric"]["confirm"])
        best = Best(metric=metric, value=interval.mean, interval=interval)
    front = len(content["front"])
    return KeptResult(
        states={str(state): int(count) for state, count in content["trials"].items()},
        confirm_seeds=int(content["confirm_seeds"]),
        best=best,
        verdict=f"front of {counted(front, 'trial')}" if several else _verdict(content["verdict"]),
        over=bool(test["read"] or test["absent"]),
    )


def _interval(
    *, n: int, mean: float, sd: float | None, low: float | None, high: float | None
) -> Interval:
    return Interval(
        n=n,
        mean=float(mean),
        sd=math.nan if sd is None else sd,
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
    )


def _verdict(verdict: Mapping[str, Any]) -> str:
    """Return which choice is best, or which configuration where none are compared."""
    judged = verdict["choices"] or verdict["configurations"]
    if judged is None:
        best = verdict["best"]
        return "nothing is confirmed" if best is None else one_line(f"only {best}")
    # As the verdict's own sentence has it: what is only too noisy to be told apart is not a tie.
    if judged["ties"]:
        return one_line(f"{judged['best']} leads a tie of {len(judged['ties']) + 1}")
    unclear = ", as far as can be told" if judged["unclear"] else ""
    return one_line(f"{judged['best']} is best{unclear}")
