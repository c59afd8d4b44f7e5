"""What is wrong with what an objective says: numbers that are none, metrics that are missing."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

from mnist_core.counting import counted
from objectives.base import Outcome
from studies.engines.base import Failure
from studies.search.goals import INFEASIBLE, Goals

_LONGEST_NAME = 512
"""Characters that Optuna's tables have room for."""


def failure_in_report(metric: str, metrics: Mapping[str, float], step: int) -> Failure | None:
    """Return why the trial of a report cannot go on, or None.

    Args:
        metric: the study's.
        metrics: of the report.
        step: of the report.
    """
    return _problem(metric, metrics.get(metric), f"at step {step}")


def failure_of(goals: Goals, outcome: Outcome) -> Failure | None:
    """Return why ``outcome`` is none that its study can use, or None."""
    if outcome.stopped and (over := goals.over(outcome.metrics)) and _untrained(goals, outcome):
        return Failure(kind=INFEASIBLE, message=f"{over}; not trained")
    failure = _unfit(outcome)
    if outcome.stopped:
        return failure
    for name in dict.fromkeys((*goals.names, *goals.limits)):
        failure = failure or _problem(name, outcome.metrics.get(name), "at the end")
    return failure


def given_up(failure: Failure, losses: int) -> Failure:
    """Return the failure of a trial that was lost ``losses`` times, last by ``failure``."""
    times = "once" if losses == 1 else counted(losses, "time")
    return replace(failure, message=f"lost {times}, given up; last: {failure.message}")


def _untrained(goals: Goals, outcome: Outcome) -> bool:
    """Whether the objective ended before it trained: then it knows nothing of the metric."""
    return goals.metric not in outcome.metrics


def _problem(name: str, value: float | None, when: str) -> Failure | None:
    if value is None:
        return Failure(kind="MissingMetric", message=f"the objective gave no {name} {when}")
    if math.isfinite(value):
        return None
    return Failure(kind="NonFiniteLoss", message=f"{name} is {value} {when}")


def _unfit(outcome: Outcome) -> Failure | None:
    """Return a failure when an attribute cannot be stored."""
    for name, value in outcome.attributes.items():
        if len(name) > _LONGEST_NAME:
            message = (
                f"attribute {name[:40]!r} … has a name of more than {_LONGEST_NAME} characters"
            )
            return Failure(kind="BadOutcome", message=message)
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            message = f"attribute {name!r} is no JSON value: {error}"
            return Failure(kind="BadOutcome", message=message)
    return None
