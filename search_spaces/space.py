"""Search spaces as plain data: numbers, choices, and conditions on choices.

A ``Space`` is an ordered mapping of names to parameters. A parameter with a condition (``When``)
exists only while an earlier ``Choice`` has one of the given values, and two parameters that never
exist together may write the same setting (``sets``)::

    SPACE = Space(
        {
            "optim.name": Choice(("sgd", "adam")),
            "optim.lr": Float(1e-4, 1e-1, log=True),
            "optim.beta1": Float(0.8, 0.97, when=When("optim.name", ("adam",))),
        }
    )

Bounds are inclusive. Nothing here knows who samples the space, or what is done with its values.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Value = str | int | float | bool | None
"""What a parameter can be."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_STEP_TOLERANCE = 1e-6
"""How far from a whole number of steps a value may lie, in steps (0.1 + 0.2 is on the grid)."""


class SpaceError(ValueError):
    """A space or a point of it is wrong. The message is one line: name, what came, what to do."""


@dataclass(frozen=True)
class When:
    """A condition: the parameter exists only while ``parameter``, a Choice, has one of ``values``.

    Attributes:
        parameter: name of a Choice that stands earlier in the space.
        values: one or more of its choices.
    """

    parameter: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _choices("When(values)", self.values))


@dataclass(frozen=True)
class Float:
    """A real number in ``[low, high]``.

    Attributes:
        low: least value; above 0 for ``log``.
        high: greatest value.
        log: whether it is searched on a logarithmic scale.
        step: if given, only ``low + k * step``; it divides ``high - low``. Not with ``log``.
        sets: dotted setting that the value is written to; empty: the parameter's name.
        when: condition under which the parameter exists; None: always.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    sets: str = field(default="", kw_only=True)
    when: When | None = field(default=None, kw_only=True)

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


@dataclass(frozen=True)
class Int:
    """A whole number in ``[low, high]``.

    Attributes:
        low: least value; above 0 for ``log``.
        high: greatest value.
        log: whether it is searched on a logarithmic scale.
        step: only ``low + k * step``; it divides ``high - low``; None: 1. Not with ``log``.
        sets: dotted setting that the value is written to; empty: the parameter's name.
        when: condition under which the parameter exists; None: always.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int | None = field(default=None, kw_only=True)
    sets: str = field(default="", kw_only=True)
    when: When | None = field(default=None, kw_only=True)

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
class Choice:
    """One of a few values without an order.

    Attributes:
        choices: the values, all different.
        sets: dotted setting that the value is written to; empty: the parameter's name.
        when: condition under which the parameter exists; None: always.
    """

    choices: tuple[Value, ...]
    sets: str = field(default="", kw_only=True)
    when: When | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _choices("Choice", self.choices))

    def problem(self, value: object) -> str | None:
        """Say why ``value`` is not a choice, or return None if it is."""
        if _among(value, self.choices):
            return None
        return f"must be one of {_listed(self.choices)}, but got {value!r}"


Parameter = Float | Int | Choice


@dataclass(frozen=True)
class Space:
    """An ordered mapping of names to parameters; checked when it is made.

    Attributes:
        parameters: parameters by name; a condition refers to one that stands earlier.

    Raises:
        SpaceError: no parameter, a bad name, a condition that does not refer to an earlier Choice
            and its values, or two parameters that would set the same setting at the same time.
    """

    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", dict(self.parameters))
        if not self.parameters:
            raise SpaceError("a space needs at least one parameter, but got none")
        earlier: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            _check_name(name, parameter)
            _check_condition(name, parameter, earlier)
            earlier[name] = parameter
        for branch in self.branches():
            self._check_settings_differ(branch)

    def walk(self, choose: Callable[[str, Parameter], Any]) -> dict[str, Any]:
        """Choose a value for every active parameter, in order (define-by-run).

        Args:
            choose: called as ``choose(name, parameter)``; what it returns decides which of the
                later parameters are active.
        """
        params: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if _is_active(parameter, params):
                params[name] = choose(name, parameter)
        return params

    def active(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the parameters that exist for the choices made in ``params``, in order."""
        present: dict[str, Any] = {}
        names = []
        for name, parameter in self.parameters.items():
            if _is_active(parameter, present):
                names.append(name)
                if name in params:
                    present[name] = params[name]
        return tuple(names)

    def check(self, params: Mapping[str, Any]) -> None:
        """Check that ``params`` is a point of the space: each active parameter, in its range.

        Raises:
            SpaceError: a parameter is missing, unknown, not active or out of its range.
        """
        active = self.active(params)
        for name in active:
            if name not in params:
                raise SpaceError(f"{name}: is missing; give it a value")
            problem = self.parameters[name].problem(params[name])
            if problem:
                raise SpaceError(f"{name}: {problem}")
        for name in params:
            if name not in self.parameters:
                raise SpaceError(f"{name}: is no parameter of the space ({_listed(active)})")
            if name not in active:
                when = self.parameters[name].when
                assert when is not None
                raise SpaceError(
                    f"{name}: exists only when {when.parameter} is {_listed(when.values)}, but "
                    f"{when.parameter} is {params.get(when.parameter)!r}; leave it out"
                )

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the dotted settings that ``params`` stands for, in the order of the space."""
        return {self.setting(name): params[name] for name in self.parameters if name in params}

    def setting(self, name: str) -> str:
        """Return the dotted setting that parameter ``name`` writes."""
        return self.parameters[name].sets or name

    def branches(self) -> list[dict[str, Any]]:
        """Return every reachable combination of the choices that conditions depend on.

        Each is a partial point that holds those choices only; a space without conditions has one,
        the empty one.
        """
        deciding = {p.when.parameter for p in self.parameters.values() if p.when is not None}
        branches: list[dict[str, Any]] = [{}]
        for name, parameter in self.parameters.items():
            if name in deciding and isinstance(parameter, Choice):
                branches = [
                    {**branch, **extra}
                    for branch in branches
                    for extra in (
                        [{name: value} for value in parameter.choices]
                        if _is_active(parameter, branch)
                        else [{}]
                    )
                ]
        return branches

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain JSON values, the same for spaces that are equal."""
        return {name: _described(parameter) for name, parameter in self.parameters.items()}

    def _check_settings_differ(self, branch: Mapping[str, Any]) -> None:
        writers: dict[str, str] = {}
        for name in self.active(branch):
            other = writers.setdefault(self.setting(name), name)
            if other != name:
                raise SpaceError(
                    f"{name}: sets {self.setting(name)!r} as {other} does, at the same time"
                    f" ({dict(branch)}); give them conditions that exclude each other"
                )


def _is_active(parameter: Parameter, params: Mapping[str, Any]) -> bool:
    when = parameter.when
    if when is None:
        return True
    return when.parameter in params and _among(params[when.parameter], when.values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _among(value: object, values: tuple[Value, ...]) -> bool:
    # True == 1 in Python, yet they are different settings.
    return any(type(value) is type(other) and value == other for other in values)


def _choices(owner: str, values: object) -> tuple[Value, ...]:
    if not isinstance(values, tuple | list) or not values:
        raise SpaceError(f"{owner}: give a tuple of at least one value, but got {values!r}")
    for value in values:
        finite = not isinstance(value, float) or math.isfinite(value)
        if not finite or not (value is None or isinstance(value, str | int | float)):
            raise SpaceError(f"{owner}: a value must be plain and finite, but got {value!r}")
    if len(set(values)) < len(values):
        raise SpaceError(f"{owner}: values must all be different, but got {_listed(values)}")
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


def _check_name(name: object, parameter: object) -> None:
    if not isinstance(name, str) or not _DOTTED.fullmatch(name):
        raise SpaceError(f"a parameter's name must be like 'optim.lr', but got {name!r}")
    if not isinstance(parameter, Float | Int | Choice):
        raise SpaceError(f"{name}: must be a Float, Int or Choice, but got {parameter!r}")
    if not isinstance(parameter.sets, str) or (
        parameter.sets and not _DOTTED.fullmatch(parameter.sets)
    ):
        raise SpaceError(f"{name}: sets must be like 'optim.lr', but got {parameter.sets!r}")
    if parameter.when is not None and not isinstance(parameter.when, When):
        raise SpaceError(f"{name}: when must be a When, but got {parameter.when!r}")


def _check_condition(name: str, parameter: Parameter, earlier: Mapping[str, Parameter]) -> None:
    if parameter.when is None:
        return
    other = earlier.get(parameter.when.parameter)
    if not isinstance(other, Choice):
        raise SpaceError(
            f"{name}: when must name a Choice that stands earlier in the space"
            f" ({_listed(tuple(n for n, p in earlier.items() if isinstance(p, Choice))) or 'none'}"
            f" so far), but got {parameter.when.parameter!r}"
        )
    for value in parameter.when.values:
        if not _among(value, other.choices):
            raise SpaceError(
                f"{name}: when asks for {parameter.when.parameter} = {value!r}, which has only"
                f" {_listed(other.choices)}"
            )


def _listed(values: tuple[Any, ...] | list[Any]) -> str:
    return ", ".join(str(value) if isinstance(value, str) else repr(value) for value in values)


def _described(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"type": type(parameter).__name__}
    if isinstance(parameter, Choice):
        described["choices"] = list(parameter.choices)
    else:
        described |= {"low": parameter.low, "high": parameter.high, "log": parameter.log}
        described["step"] = parameter.step
    described["sets"] = parameter.sets
    when = parameter.when
    described["when"] = when and {"parameter": when.parameter, "values": list(when.values)}
    return described
