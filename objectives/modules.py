"""Objectives that are a class in a module: of this package, or in a file of the user's own."""

import importlib
import inspect
import pkgutil
from typing import Any

import objectives
from mnist_core import plugins
from mnist_core.errors import ConfigError, said

ARGUMENTS = ("base", "space", "keep_models", "states", "state_seconds")
"""Keywords that an objective takes."""

_NO_OBJECTIVES = (
    *("adapter", "base", "kinds", "measured", "mistake_images", "modules", "optuna_objective"),
    *("own", "preparation", "ray_trainable", "trainer", "training"),
)
"""Modules of the package without an objective of a study."""


def shipped() -> list[str]:
    """Return the names of the objectives of this package."""
    found = (module.name for module in pkgutil.iter_modules(objectives.__path__))
    return [name for name in found if name not in _NO_OBJECTIVES and name[0] != "_"]


def names() -> list[str]:
    """Return the names that a study's ``objective`` can have."""
    return plugins.names("objectives", shipped())


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
