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

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces import conversion
from search_spaces.parameters import (
    Choice,
    Float,
    Int,
    Parameter,
    SpaceError,
    Value,
    When,
    among,
    listed,
)

__all__ = ["Choice", "Float", "Int", "Parameter", "Space", "SpaceError", "Value", "When"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Space:
    """An ordered mapping of names to parameters; checked when it is made.

    Raises:
        SpaceError: if there is no parameter, a name is bad, a condition refers to no earlier Choice
            and its values, or two parameters that would set the same setting at the same time.
    """

    # parameters by name; a condition refers to one that stands earlier
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

        What ``choose(name, parameter)`` returns decides which of the later parameters are active.
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
        """Raise ``SpaceError`` unless ``params`` is a point of the space, each in its range."""
        for name in self.active(params):
            if name not in params:
                raise SpaceError(f"{name}: is missing; give it a value")
        self.check_part(params)

    def check_part(self, params: Mapping[str, Any]) -> None:
        """Raise ``SpaceError`` unless ``params`` is a part of a point of the space."""
        active = self.active(params)
        for name in active:
            if name not in params:
                continue
            problem = self.parameters[name].problem(params[name])
            if problem:
                raise SpaceError(f"{name}: {problem}")
        for name in params:
            if name not in self.parameters:
                raise SpaceError(f"{name}: is not a parameter of the space ({listed(active)})")
            if name not in active:
                when = self.parameters[name].when
                assert when is not None
                raise SpaceError(
                    f"{name}: exists only when {when.parameter} is {listed(when.values)}, but "
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

        Each is a partial point that holds those choices only; without conditions it is empty.
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

    def to_optuna(self, trial: conversion.OptunaTrial) -> dict[str, Any]:
        """Return a point of the space that an Optuna trial suggests, parameter by parameter."""
        return self.walk(lambda name, parameter: conversion.suggested(trial, name, parameter))

    def to_ray(self) -> dict[str, Any]:
        """Return the space as Ray Tune takes it; ``from_ray`` reads the configs that Tune makes.

        Tune knows no conditions, so its configs have a value for every parameter.
        """
        return {name: conversion.ray_domain(one) for name, one in self.parameters.items()}

    def from_ray(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the point of the space that a config of Ray Tune stands for.

        What its conditions exclude, and names that are not of the space, are left out.

        Raises:
            SpaceError: if a value is missing or out of range.
        """
        return self.walk(lambda name, one: conversion.from_config(name, one, config))

    def clipped(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``config`` with numbers moved into their ranges.

        It is the ``custom_explore_fn`` that Tune's population based training needs.
        """
        inside = {
            name: conversion.clip(one, config[name])
            for name, one in self.parameters.items()
            if name in config
        }
        return {**config, **inside}

    def ends(self) -> list[dict[str, Any]]:
        """Return the points at the ends of every range in every branch."""
        points = []
        for branch in self.branches():
            for end in (0, -1):

                def choose(name: str, parameter: Parameter, end: int = end) -> Any:
                    if isinstance(parameter, Float | Int):
                        return (parameter.low, parameter.high)[end]
                    return branch.get(name, parameter.choices[end])  # noqa: B023

                points.append(self.walk(choose))
        return points

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain JSON values, the same for spaces that are equal."""
        return {name: _described(parameter) for name, parameter in self.parameters.items()}

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> "Space":
        """Return the space that ``to_dict`` described; raise ``SpaceError`` if it is not one."""
        return cls({name: _from_description(name, one) for name, one in described.items()})

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
    return when.parameter in params and among(params[when.parameter], when.values)


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
            f" ({listed(tuple(n for n, p in earlier.items() if isinstance(p, Choice))) or 'none'}"
            f" so far), but got {parameter.when.parameter!r}"
        )
    for value in parameter.when.values:
        if not among(value, other.choices):
            raise SpaceError(
                f"{name}: when asks for {parameter.when.parameter} = {value!r}, which has only"
                f" {listed(other.choices)}"
            )


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


def _from_description(name: str, described: Mapping[str, Any]) -> Parameter:
    given = dict(described)
    kind, when = given.pop("type", None), given.pop("when", None)
    try:
        given["when"] = when and When(when["parameter"], tuple(when["values"]))
        if kind == "Choice":
            return Choice(tuple(given.pop("choices")), **given)
        numbers: dict[str, type[Float] | type[Int]] = {"Float": Float, "Int": Int}
        return numbers[str(kind)](given.pop("low"), given.pop("high"), **given)
    except (KeyError, TypeError) as error:
        raise SpaceError(f"{name}: is not described as a parameter is: {error!r}") from None
