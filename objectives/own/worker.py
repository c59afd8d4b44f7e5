"""What workers do for an objective of the user's own beside its trials."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError, UserError, is_ctrl_c, said
from mnist_core.version import PACKAGE, package_version
from objectives.own.code import code_facts
from objectives.own.description import Own
from objectives.own.reference import Reference, load
from objectives.own.run_trial import TASK, hook, prepared
from objectives.preparation import Preparation


def prepare(own: Own, points: Sequence[Mapping[str, Any]]) -> Preparation:
    """Load the objective, let it prepare, and ask for the costs of ``points``.

    Raises:
        ConfigError: if one of them fails.
    """
    if isinstance(own.place, Reference):
        load(own.place)
    data = _user(own, "prepare", lambda: prepared(own))
    costs = [_call(own, "cost", dict(point)) for point in points] if hook(own, "cost") else []
    for found in costs:
        if not isinstance(found, Mapping) or not all(_is_cost(v) for v in found.values()):
            raise ConfigError(
                f"objective {own.label}: cost must return numbers by name, such as"
                f' {{"seconds": 2.0}}, but got {found!r:.80}'
            )
    # Test data are the objective's own matter.
    seconds = tuple(float(cost["seconds"]) for cost in costs if "seconds" in cost)
    return Preparation(fingerprint=data, train_fingerprint=data, seconds=seconds)


def describe(own: Own) -> dict[str, Any]:
    """Return versions, what the objective's ``describe`` says, its code, and the data's name."""
    return {
        "versions": {
            "python": platform.python_version(),
            "optuna": importlib.metadata.version("optuna"),
            PACKAGE: package_version(),
            **facts(own),
            **code_facts(own),
        },
        "data": {"fingerprint": prepare(own, ()).fingerprint},
    }


def facts(own: Own) -> dict[str, str]:
    """Return the facts that the objective wants to be kept, by name."""
    found = _call(own, "describe")
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"objective {own.label}: describe must return texts by name, but got {found!r:.80}"
        )
    return {str(name): str(value) for name, value in found.items()}


def read_test(own: Own, folders: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """Return the test metrics of each confirmed trial, from the folder that it has kept.

    Raises:
        UserError: if a folder is damaged, or ``test`` fails or returns something else.
    """
    metrics = {}
    for number, folder in folders.items():
        try:
            kept = json.loads((folder / TASK).read_text())
            params, seed = kept["params"], kept["seed"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder}: cannot be read: {said(error)}") from None
        found = _call(own, "test", params, seed, folder)
        if not isinstance(found, Mapping):
            raise UserError(
                f"objective {own.label}: test must return numbers by name, but got {found!r:.80}"
            )
        try:
            figures = {f"test_{_bare(name)}": float(value) for name, value in found.items()}
        except (TypeError, ValueError) as error:
            raise UserError(f"objective {own.label}: test: {said(error)}") from None
        metrics[number] = figures
    return metrics


def _bare(name: object) -> str:
    return str(name).removeprefix("test_").removeprefix("val_")


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _call(own: Own, name: str, *arguments: Any) -> Any:
    """Return what hook ``name`` returns; None: there is none. ConfigError: if it raises."""
    found = hook(own, name)
    return None if found is None else _user(own, name, lambda: found(*arguments))


def _user(own: Own, name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except UserError:
        raise
    except BaseException as error:  # the user's code may raise anything
        if is_ctrl_c(error):
            raise
        raise ConfigError(f"objective {own.label}: {name}: {said(error)}") from error
