"""``python -m studies.cli.doctor.probe torch|ray|project``: prints facts as one JSON object."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from mnist_core import plugins
from mnist_core.errors import ConfigError, said


def main(name: str) -> None:
    """Print the facts of ``name`` as JSON."""
    # What is imported here may print; that must not get into the JSON.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    facts = PROBES[name]()
    with answer:
        json.dump(facts, answer)


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA is missing
        return {"error": said(error)}
    from mnist_core.device import torch_internals
    from studies.cli.doctor.torch_facts import facts_of

    facts = {**facts_of(torch), "unexpected": torch_internals.unexpected()}
    return {**facts, "kernels": _kernels()}


def _kernels() -> dict[str, str]:
    """Return why torch computes a part of a training on a CPU, "": it does not, by that part."""
    from mnist_core.kernels import adam, batch_norm, denormals, dropout, max_pool, relu

    parts: dict[str, Callable[[], str]] = {
        "pooling": max_pool.why_not,
        "batch norm": batch_norm.why_not,
        "dropout": dropout.why_not,
        "ReLU": relu.why_not,
        "Adam": adam.why_not,
        "denormal numbers": denormals.why_not,
    }
    try:
        return {part: why_not() for part, why_not in parts.items()}
    except ConfigError as error:
        return dict.fromkeys(parts, str(error))


def _ray() -> dict[str, Any]:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.actor")
    except (ImportError, OSError, AttributeError) as error:
        return {"error": said(error)}
    return {"version": ray.__version__}


def _project() -> dict[str, Any]:
    """Import each file of the user's own; find whether the trainer runs one of the studies."""
    from studies.spec import StudySpec

    faults, counts, objectives = [], {}, []
    for kind in plugins.KINDS:
        own = plugins.plugins(kind)
        if own:
            counts[kind] = len(own)
        for one in own:
            try:
                one.load()
                if kind == "studies":
                    objectives.append(one.value(StudySpec).own)
            except ConfigError as error:
                faults.append(str(error))
    # A study that cannot be read may be one of the trainer's.
    trainer = None in objectives or len(objectives) < counts.get("studies", 0)
    uses = trainer or not objectives
    return {"faults": list(dict.fromkeys(faults)), "counts": counts, "trainer": uses}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": _torch,
    "ray": _ray,
    "project": _project,
}

if __name__ == "__main__":
    main(sys.argv[1])
