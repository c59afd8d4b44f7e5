"""Parameters of search spaces: numbers, choices, conditions on choices. Bounds are inclusive."""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Value = str | int | float | bool | None  # what a parameter can be

_STEP_TOLERANCE = 1e-6
"""How far from a whole number of steps a value may lie, in steps (0.1 + 0.2 is on the grid)."""


class SpaceError(ValueError):
    """A space or a point of it is wrong. The message is one line: name, what came, what to do."""


@dataclass(frozen=True)
class When:
    """A condition: a parameter exists only while ``parameter``, a Choice, has one of ``values``."""

    parameter: str  # name of a Choice that stands earlier in the space
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _choices("When(values)", self.values))


@dataclass(frozen=True)
class _Parameter:
    # dotted setting that the value is written to; empty: the parameter's name
    sets: str = field(default="", kw_only=True)
    # condition under which the parameter exists; None: always
    when: When | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Float(_Parameter):
    """A real number in ``[low, high]``."""

    low: float
    high: float
    # whether it is searched on a logarithmic scale; ``low`` is above 0 then
    log: bool = field(default=False, kw_only=True)
    # if given, only ``low + k * step``; it divides ``high - low``. Not with ``log``.
    step: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if name == "step" and value is None:
                continue
            if not _is_number(value):
                raise SpaceError(f"Float: {name} must be a finite number, but got {value!r}")
            object.__setattr__(self, name, float(value))
        _check_range(self, self.low, self.high, self.step)

    def problem(self, value: object) -> str | None:
        """Say why ``value`` is not in the range, or return None if it is."""
        if not _is_number(value):
            return f"must be a finite number, but got {value!r}"
        return _out_of_range(value, self.low, self.high, self.step)

    def snapped(self, value: float) -> float:
        """Return ``value`` as it is written: 0.3 for 0.1 + 0.2, three steps of 0.1.

        A value off the grid, or of a range without steps, is returned as it is.
        """
        if self.step is None or not _is_number(value) or _off_grid(value, self.low, self.step):
            return value
        steps = round((value - self.low) / self.step)
        return float(Decimal(repr(self.low)) + steps * Decimal(repr(self.step)))


@dataclass(frozen=True)
class Int(_Parameter):
    """A whole number in ``[low, high]``; the attributes are those of ``Float``."""

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not _is_int(value) and not (name == "step" and value is None):
                raise SpaceError(f"Int: {name} must be a whole number, but got {value!r}")
        _check_range(self, self.low, self.high, self.step)

    def problem(self, value: object) -> str | None:
        """Say why ``value`` is not in the range, or return None if it is."""
        if not _is_int(value):
            return f"must be a whole number, but got {value!r}"
        return _out_of_range(value, self.low, self.high, self.step)


@dataclass(frozen=True)
class Choice(_Parameter):
    """One of a few values without an order."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _choices("Choice", self.choices))

    def problem(self, value: object) -> str | None:
        """Say why ``value`` is not a choice, or return None if it is."""
        if among(value, self.choices):
            return None
        return f"must be one of {listed(self.choices)}, but got {value!r}"


Parameter = Float | Int | Choice


def among(value: object, values: tuple[Value, ...]) -> bool:
    """Return whether ``value`` is one of ``values``, of the same type too."""
    # True == 1 in Python, yet they are different settings.
    return any(type(value) is type(other) and value == other for other in values)


def listed(values: tuple[Any, ...] | list[Any]) -> str:
    """Return ``values`` for a message."""
    return ", ".join(str(value) if isinstance(value, str) else repr(value) for value in values)


def _choices(owner: str, values: object) -> tuple[Value, ...]:
    if not isinstance(values, tuple | list) or not values:
        raise SpaceError(f"{owner}: give a tuple of at least one value, but got {values!r}")
    for value in values:
        finite = not isinstance(value, float) or math.isfinite(value)
        if not finite or not (value is None or isinstance(value, str | int | float)):
            raise SpaceError(f"{owner}: a value must be plain and finite, but got {value!r}")
    if len(set(values)) < len(values):
        raise SpaceError(f"{owner}: values must all be different, but got {listed(values)}")
    return tuple(values)


def _check_range(parameter: Float | Int, low: float, high: float, step: float | None) -> None:
    kind = type(parameter).__name__
    if not isinstance(parameter.log, bool):
        raise SpaceError(f"{kind}: log must be True or False, but got {parameter.log!r}")
    if low >= high:
        raise SpaceError(f"{kind}: low must be below high, but got {low=}, {high=}")
    if parameter.log and low <= 0:
        raise SpaceError(f"{kind}: low must be above 0 for log=True, but got {low=}")
    if step is None:
        return
    if parameter.log:
        raise SpaceError(f"{kind}: step and log exclude each other, but got {step=}, log=True")
    if step <= 0:
        raise SpaceError(f"{kind}: step must be above 0, but got {step=}")
    # In decimal, as it is written and as Optuna reckons: 0.3 is three steps of 0.1.
    if (Decimal(repr(high)) - Decimal(repr(low))) % Decimal(repr(step)) != 0:
        raise SpaceError(f"{kind}: step must divide high - low, but got {low=}, {high=}, {step=}")


def _off_grid(value: float, low: float, step: float) -> bool:
    steps = (value - low) / step
    return abs(steps - round(steps)) > _STEP_TOLERANCE


def _out_of_range(value: Any, low: float, high: float, step: float | None) -> str | None:
    if not low <= value <= high:
        return f"must lie in [{low:g}, {high:g}], but got {value!r}"
    if step is not None and _off_grid(value, low, step):
        return f"must be {low:g} plus a multiple of {step:g}, but got {value!r}"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
