"""Plain calls of functions on a cluster, as Ray tasks."""

import importlib
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from objectives.base import Objective, Task
from studies.core.trials import INTERRUPTED, UNFIT, Failure
from studies.engines._local.execution import execute, failure_of
from studies.engines.base import Work
from studies.engines.ray import shipped
from studies.engines.ray.events import Finished
from studies.engines.ray.task_table import how_it_died

_POLL = 0.2
"""Seconds between two checks whether to stop."""


def run_calls(
    calls: Work,
    payload: bytes,
    *,
    options: Mapping[str, float],
    places: int,
    stopped: Callable[[], tuple[bool, bool]],
    check: Callable[[], None],
) -> None:
    """Run ``calls``, spread over the nodes, at most ``places`` at once.

    Args:
        payload: the pickled objective.
        options: what each call claims.
        stopped: returns whether to start nothing more, and whether to end what runs.
        check: raises when no call can start any more.
    """
    # A process that runs Ray tasks needs no Ray Tune, and Ray never uses it for a trial.
    remote: Any = ray.remote(run_task).options(
        scheduling_strategy="SPREAD", max_retries=0, **options
    )
    path = ray.put(search_path())
    shared = ray.put(payload)
    running: dict[Any, Task] = {}
    try:
        while True:
            stopping, now = stopped()
            if now:
                for task in running.values():
                    calls.lose(task, INTERRUPTED)
                return
            while not stopping and len(running) < places and (asked := calls.ask()) is not None:
                running[remote.remote(shared, path, asked)] = asked
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1, timeout=_POLL)
            for call in done:
                _tell(calls, running.pop(call), call)
            check()
    finally:
        for call in running:
            ray.cancel(call, force=True)


def import_ahead(modules: Sequence[str], *, options: Mapping[str, float], places: int) -> None:
    """Have ``places`` processes import ``modules`` for the calls to come, without waiting."""
    # Ray hands such a process out again, so that the first calls need not wait for the imports.
    remote: Any = ray.remote(import_problems).options(max_retries=0, **options)
    for _ in range(places):
        remote.remote(modules)


def _tell(calls: Work, task: Task, call: Any) -> None:
    try:
        result = Finished(ray.get(call)).read()
    except ray.exceptions.RayError as error:
        calls.lose(task, Failure(kind="WorkerLost", message=how_it_died(error)))
        return
    if isinstance(result, Failure) and result.kind in UNFIT:
        calls.lose(task, result)
    elif isinstance(result, Failure):
        calls.fail(task, result)
    else:
        calls.finish(task, result)


def import_problems(modules: Sequence[str]) -> list[str]:
    """Import ``modules`` in this process; return a line for each that cannot be imported."""
    problems = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever it is, the user is told
            problems.append(f"{module} cannot be imported: {type(error).__name__}: {error}")
    return problems


def run_task(payload: bytes, path: Sequence[str], task: Task) -> bytes:
    """Run ``task`` as a Ray task, without reports; return its ``Finished.result``."""
    extend_path(path)
    try:
        objective: Objective = pickle.loads(payload)
    except Exception as error:  # anything may go wrong while modules are imported
        return Finished.of(failure_of(error)).result
    return Finished.of(execute(objective, task, lambda step, metrics: True)).result


def extend_path(path: Sequence[str]) -> None:
    """Have this process search modules in ``path`` as well."""
    # Ray itself has put the driver's path there by now, at the first task of a process.
    sys.path[:] = dict.fromkeys(shipped.searched(entry) for entry in [*sys.path, *path])


def search_path() -> list[str]:
    """Return this process's module search path, for workers on the same machine."""
    return [entry or os.getcwd() for entry in sys.path]
