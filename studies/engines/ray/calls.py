"""Plain calls of functions on a cluster, as Ray tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from objectives.base import Task
from studies.core.trials import UNFIT, Failure
from studies.engines.base import Work
from studies.engines.ray.desk import INTERRUPTED, how
from studies.engines.ray.events import Finished
from studies.engines.ray.tasks import look, run_task, search_path

_POLL = 0.2
"""Seconds between two looks whether to stop."""


def run_calls(
    calls: Work,
    payload: bytes,
    *,
    options: Mapping[str, float],
    places: int,
    stopped: Callable[[], tuple[bool, bool]],
    check: Callable[[], None],
) -> None:
    """Work ``calls`` off, spread over the nodes.

    Args:
        calls: tasks that report nothing.
        payload: the pickled objective.
        options: what each claims, as of ``ray.remote``.
        places: so many at once.
        stopped: whether nothing more is to be begun, and whether what runs is to be ended.
        check: raises when no call can begin any more.
    """
    remote: Any = ray.remote(run_task).options(
        scheduling_strategy="SPREAD", max_retries=0, **options
    )
    path = ray.put(search_path())
    shared = ray.put(payload)
    out: dict[Any, Task] = {}
    try:
        while True:
            stopping, now = stopped()
            if now:
                for task in out.values():
                    calls.lose(task, INTERRUPTED)
                return
            while not stopping and len(out) < places and (asked := calls.ask()) is not None:
                out[remote.remote(shared, path, asked)] = asked
            if not out:
                return
            done, _ = ray.wait(list(out), num_returns=1, timeout=_POLL)
            for call in done:
                _tell(calls, out.pop(call), call)
            check()
    finally:
        for call in out:
            ray.cancel(call, force=True)


def import_ahead(modules: Sequence[str], *, options: Mapping[str, float], places: int) -> None:
    """Have so many processes import ``modules`` for the calls to come; nobody waits for them."""
    remote: Any = ray.remote(look).options(max_retries=0, **options)
    for _ in range(places):
        remote.remote(modules)


def _tell(calls: Work, task: Task, call: Any) -> None:
    try:
        result = Finished(ray.get(call)).read()
    except ray.exceptions.RayError as error:
        calls.lose(task, Failure(kind="WorkerLost", message=how(error)))
        return
    if isinstance(result, Failure) and result.kind in UNFIT:
        calls.lose(task, result)
    elif isinstance(result, Failure):
        calls.fail(task, result)
    else:
        calls.finish(task, result)
