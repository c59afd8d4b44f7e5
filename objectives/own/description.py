"""What a study knows of an objective of its user's own."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mnist_core.errors import ConfigError
from objectives.own.command import Command
from objectives.own.reference import Held, Reference, reference

PASSED = ("seed", "report")
"""Keywords that an objective gets if it takes them."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """An objective of the user's own.

    Attributes:
        label: names it in records and messages: ``my_study.py:objective``.
        given: what else says which one it is: the fields of an object, the words of a command.
        reports: number of reports of one trial; None: not known.
        tests: whether it has a ``test``.
        costs: whether it has a ``cost``.
        place: where it is; None: it was read from a record, so it cannot be run.
    """

    label: str
    given: Mapping[str, Any] = field(default_factory=dict)
    reports: int | None = None
    tests: bool = False
    costs: bool = False
    place: Reference | Held | Command | None = None

    def to_record(self) -> dict[str, Any]:
        """Return it as JSON, without its place."""
        names = ("label", "given", "reports", "tests", "costs")
        return {name: getattr(self, name) for name in names}


def own(objective: Any) -> Own:
    """Return what a study needs to know of ``objective``: a function, class, object or command.

    Raises:
        ConfigError: if another process could not find it, it may change, or it takes other
            arguments.
    """
    if isinstance(objective, Own):
        return objective
    if isinstance(objective, Mapping):  # a record
        return Own(**objective)
    if isinstance(objective, Command):
        return Own(label="command", given={"command": objective.text}, place=objective)
    place = reference(objective)
    _check_call(_called(objective, place.label), place.label)
    given = json.loads(place.fields) if place.fields else {}
    return _own(objective, place, place.label, given)


def held(objective: Any) -> Own:
    """Return ``objective`` for a program that runs it itself, so no other process must find it.

    Raises:
        ConfigError: if it takes other arguments.
    """
    if isinstance(objective, Command):
        return own(objective)
    label = getattr(objective, "__qualname__", type(objective).__name__)
    if not callable(objective):
        raise ConfigError(f"objective: must be a function, a class or a command, but got {label}")
    _check_call(_called(objective, label), label)  # before the object of a class is made
    target = objective() if inspect.isclass(objective) else objective
    return _own(objective, Held(target=target), label, {})


def _own(objective: Any, place: Reference | Held, label: str, given: Mapping[str, Any]) -> Own:
    return Own(
        label=label,
        given=given,
        reports=_reports(objective, label),
        tests=callable(getattr(objective, "test", None)),
        costs=callable(getattr(objective, "cost", None)),
        place=place,
    )


def _called(objective: Any, label: str) -> Any:
    """Return the signature of a call of ``objective``."""
    if not inspect.isclass(objective):
        return inspect.signature(objective)
    if "__call__" not in {name for one in objective.__mro__ for name in vars(one)}:
        raise ConfigError(f"objective {label}: has no __call__(self, params), so it runs nothing")
    try:
        inspect.signature(objective).bind()
    except TypeError as error:
        raise ConfigError(
            f"objective {label}: a class is made without arguments: {error}; give them defaults, or"
            " make it a frozen dataclass and give the object"
        ) from None
    whole = inspect.signature(objective.__call__)
    return whole.replace(parameters=list(whole.parameters.values())[1:])


def _check_call(signature: inspect.Signature, label: str) -> None:
    try:
        signature.bind({}, **passed(signature, seed=0, report=None))
    except TypeError as error:
        raise ConfigError(
            f"objective {label}: must take (params, *, seed, report), of which seed and report may"
            f" be left out, but takes {signature}: {error}"
        ) from None


def passed(signature: inspect.Signature, **values: Any) -> dict[str, Any]:
    """Return those of ``values`` that a call with ``signature`` takes by keyword."""
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return values
    # The first parameter is the params, whatever it is called.
    named = list(signature.parameters)[1:]
    return {name: value for name, value in values.items() if name in named}


def _reports(objective: Any, label: str) -> int | None:
    reports = getattr(objective, "reports", None)
    if reports is None:
        return None
    if not isinstance(reports, int) or isinstance(reports, bool) or reports < 1:
        raise ConfigError(
            f"objective {label}: reports must be the number of reports of a trial, 1 or more, but"
            f" got {reports!r}"
        )
    return reports
