"""Options of Optuna's classes, as a user sets them: checked before Optuna takes them."""

import inspect
import math
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mnist_core.errors import ConfigError, unknown_name


def check_options(
    cls: Callable[..., object],
    options: Mapping[str, Any],
    *,
    source: str,
    taken: Container[str] = (),
) -> None:
    """Refuse options that the constructor of ``cls`` does not know or that have another type.

    Args:
        source: names the options in errors.
        taken: arguments that the study sets, or that do nothing any more.

    Raises:
        ConfigError: if an option is unknown, or its value is of another type or out of range.
    """
    kinds = {
        name: _kinds(parameter.annotation)
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in taken
    }
    valid = [name for name, of_name in kinds.items() if of_name]
    for option, value in options.items():
        if option not in valid:
            if not valid:
                raise ConfigError(f"{source}: it has no options, but got {option!r}; leave it out")
            raise ConfigError(f"{source}: {unknown_name('option', option, valid)}")
        if type(value).__name__ not in kinds[option]:
            wanted = " or ".join(sorted(kinds[option]))
            raise ConfigError(f"{source}: {option} must be {wanted}, but got {value!r}")
        # Optuna takes these, and they do nothing: counts below 0 are 0, and nothing is below nan.
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{source}: {option} must be a finite number, but got {value!r}")
        if option.startswith("n_") and value < 0:
            raise ConfigError(f"{source}: {option} must be 0 or more, but got {value!r}")


@contextmanager
def refusals(source: str) -> Iterator[None]:
    """Turn what Optuna raises about an option's value into a ConfigError that names ``source``."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, AssertionError, MemoryError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{source}: {said}") from None


def _kinds(annotation: Any) -> set[str]:
    """Return the types of an option by name, those that TOML can hold."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    # A settings file cannot hold functions or objects.
    if "Callable" in text or "[" in text:
        return set()
    kinds = {part.strip() for part in text.split("|")} & {"bool", "int", "float", "str"}
    return kinds | {"int"} if "float" in kinds else kinds
