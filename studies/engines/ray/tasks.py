"""What Ray tasks run: plain calls, and looking at what a process can import.

Apart from the workers that run trials: a process that runs tasks needs no Ray Tune, and Ray never
makes it a trial's.
"""

import importlib
import os
import pickle
import sys
from collections.abc import Sequence

from objectives.base import Objective, Task
from studies.engines._local.execution import execute, failure_of
from studies.engines.ray.events import Finished


def look(modules: Sequence[str]) -> list[str]:
    """Import ``modules`` in this process, and return what is wrong with it.

    The process is then ready for a call: Ray hands it out again.
    """
    wrong = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever it is, the user is told
            wrong.append(f"{module} cannot be imported: {type(error).__name__}: {error}")
    return wrong


def run_task(payload: bytes, path: Sequence[str], task: Task) -> bytes:
    """Run ``task`` as a Ray task, without reports; return its ``Finished.result``."""
    find_in(path)
    try:
        objective: Objective = pickle.loads(payload)
    except Exception as error:  # anything may go wrong while modules are imported
        return Finished.of(failure_of(error)).result
    return Finished.of(execute(objective, task, lambda step, metrics: True)).result


def find_in(path: Sequence[str]) -> None:
    """Have this process search modules in ``path``, too."""
    sys.path.extend(entry for entry in path if entry not in sys.path)


def search_path() -> list[str]:
    """Return this process's module search path, for workers on the same machine."""
    return [entry or os.getcwd() for entry in sys.path]
