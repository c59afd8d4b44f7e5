"""The class of the objective that a study names, checked before anything is run."""

import importlib
import inspect
import pkgutil
from typing import Any

import objectives
from mnist_core import plugins
from mnist_core.errors import ConfigError, said
from objectives.measured import PARAMETERS
from objectives.own import Own
from objectives.own.reference import Reference
from objectives.training import Training
from studies.core.goals import Goals
from studies.spec import StudySpec

ARGUMENTS = ("base", "space", "keep_models", "states", "state_seconds")
"""Keywords that an objective takes."""

_NO_OBJECTIVES = (
    *("adapter", "base", "measured", "optuna_objective", "own", "ray_trainable"),
    *("trainer", "training"),
)
"""Modules of the package without an objective of a study."""


def shipped() -> list[str]:
    """Return the names of the objectives of this package."""
    found = (module.name for module in pkgutil.iter_modules(objectives.__path__))
    return [name for name in found if name not in _NO_OBJECTIVES and name[0] != "_"]


def names() -> list[str]:
    """Return the names that a study's ``objective`` can have."""
    return plugins.names("objectives", shipped())


def check_name(spec: StudySpec) -> None:
    """Raise ConfigError if the study names an objective that does not exist."""
    if spec.own is not None:
        return
    try:
        plugins.find("objectives", spec.label, shipped())
    except ConfigError as error:
        raise ConfigError(
            f"study {spec.name}: {error}; one of your own is given itself, a function or a class:"
            " objective=my_function"
        ) from None


def objective_class(name: str) -> Any:
    """Return the class of the objective ``name``: ``MyNet`` in ``objectives/my_net.py``.

    Raises:
        ConfigError: if the module is missing or cannot be imported, or its class is missing or
            takes other arguments.
    """
    own = plugins.find("objectives", name, shipped())
    name = own.name if own else name
    file, wanted = f"objectives/{name}.py", "".join(part.capitalize() for part in name.split("_"))
    if own is not None:
        file, module = own.where, own.load()
    else:
        try:
            module = importlib.import_module(f"{objectives.__name__}.{name}")
        except Exception as error:  # a contributor's file may raise anything
            raise ConfigError(f"{file}: {said(error)}") from error
    found = getattr(module, wanted, None)
    if found is None:
        here = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        holds = f"but only {', '.join(here)}" if here else "but nothing of its own"
        raise ConfigError(f"{file}: must hold a class {wanted} (by the file's name), {holds}")
    if not inspect.isclass(found):
        raise ConfigError(
            f"{file}: {wanted} must be a class, but is a {type(found).__name__}; make it a class"
            " whose __call__ takes a task and report"
        )
    if "__call__" not in _names(found):
        raise ConfigError(f"{file}: {wanted} has no __call__(task, report), so it trains nothing")
    _check_call(
        found.__call__, (None, None, None), {}, f"{file}: {wanted}.__call__", "(task, report)"
    )
    keywords = dict.fromkeys(ARGUMENTS)
    _check_call(found, (), keywords, f"{file}: {wanted}", f"the keywords {', '.join(ARGUMENTS)}")
    return found


def check_objective(objective: str | Own, goals: Goals, *, engine: str = "") -> None:
    """Raise ``ConfigError`` if the objective cannot be made, or measure what the goals need.

    ``engine``: where it is to run; "": it is only looked at.
    """
    if isinstance(objective, Own):
        _check_own(objective, goals, engine)
        return
    kind = objective_class(objective)
    if goals.measured and not issubclass(kind, Training):
        raise ConfigError(
            "search.objectives: parameters and seconds are measured of a trainer's models, but"
            f" objectives/{objective}.py is not a trainer; derive its class from"
            " objectives.training.Training, or leave them out"
        )


def _check_own(objective: Own, goals: Goals, engine: str) -> None:
    place = objective.place
    if place is None:
        raise ConfigError(
            f"objective {objective.label}: only its name is recorded; run the study by its file"
        )
    if isinstance(place, Reference) and place.in_main and engine not in ("", "inline"):
        raise ConfigError(
            f"objective {place.name}: is in the program itself, where workers cannot find it; put"
            " it into a file and import it from there, or set engine.name=inline"
        )
    needs = PARAMETERS in goals.names or PARAMETERS in goals.limits
    if needs and not objective.costs:
        raise ConfigError(
            f"search.objectives: parameters: objective {objective.label} has no cost(params) that"
            ' returns {"parameters": …}; give it one, or leave parameters out'
        )


def _names(kind: type) -> set[str]:
    return {name for one in kind.__mro__ if one is not object for name in vars(one)}


def _check_call(
    function: Any, positional: tuple[Any, ...], keywords: dict[str, Any], what: str, must: str
) -> None:
    try:
        inspect.signature(function).bind(*positional, **keywords)
    except TypeError as error:
        raise ConfigError(f"{what}: must take {must}: {error}") from None
    except ValueError:  # a class in C has no signature
        return
