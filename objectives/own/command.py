"""A shell command as an objective: values in its words, results in its last line of JSON."""

import shlex
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mnist_core.errors import ConfigError, unknown_name

GIVEN = ("params", "python", "seed")
"""Placeholders that every command may have: all params as JSON, this Python, the trial's seed."""


@dataclass(frozen=True)
class Command:
    """A command, e.g. ``Command("python train.py --lr {lr} --seed {seed}")``.

    It is split into words as a shell does; then each placeholder is replaced. So a value is never
    more than a part of one word, and no shell runs. It runs in the working directory.

    Attributes:
        text: the command; ``{name}`` is a parameter, ``{params}`` all of them as JSON, ``{seed}``
            the trial's seed, ``{python}`` the Python that runs the study.

    Raises:
        ConfigError: if it is empty, or its quotes or braces do not match.
    """

    text: str

    def __post_init__(self) -> None:
        """Check quotes and braces."""
        try:
            words = shlex.split(self.text)
            names = [name for word in words for name in _placeholders(word)]
        except ValueError as error:
            raise ConfigError(f"command: {self.text!r}: {error}") from None
        if not words:
            raise ConfigError("command: must name a program, but is empty")
        if wrong := [name for name in names if name == "" or set(name) & set("[]!: ")]:
            raise ConfigError(
                f"command: a placeholder is {{name}}, but got {{{wrong[0]}}}; double the braces to"
                " mean them: {{ and }}"
            )

    @property
    def words(self) -> tuple[str, ...]:
        """The words, with placeholders."""
        return tuple(shlex.split(self.text))

    @property
    def placeholders(self) -> set[str]:
        """The names that are replaced."""
        return {name for word in self.words for name in _placeholders(word)}

    def check(self, parameters: Mapping[str, bool]) -> None:
        """Check the placeholders against ``parameters``: whether each always exists.

        Raises:
            ConfigError: if one is unknown, a parameter is not passed on, or may not exist.
        """
        used = self.placeholders
        for name in sorted(used):
            if name not in parameters and name not in GIVEN:
                known = unknown_name("placeholder", name, [*parameters, *GIVEN])
                raise ConfigError(f"command: {known}")
            if not parameters.get(name, True):
                raise ConfigError(
                    f"command: {{{name}}} exists only in some trials, as the parameter has a"
                    " condition; pass all as JSON with {params}"
                )
        unused = [name for name in parameters if name not in used]
        if unused and "params" not in used:
            raise ConfigError(
                f"command: it does not get {', '.join(unused)}; add {{{unused[0]}}}, or {{params}},"
                " which is all of them as JSON"
            )

    def argv(self, values: Mapping[str, Any]) -> list[str]:
        """Return the words with ``values`` in place of the placeholders."""
        return ["".join(_filled(word, values)) for word in self.words]


def _placeholders(word: str) -> list[str]:
    return [
        name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        for _, name, form, conversion in string.Formatter().parse(word)
        if name is not None
    ]


def _filled(word: str, values: Mapping[str, Any]) -> Collection[str]:
    # ``str.format`` would take the dots of ``{optim.lr}`` for attributes.
    parts = []
    for before, name, _, _ in string.Formatter().parse(word):
        parts.append(before)
        if name is not None:
            parts.append(str(values[name]))
    return parts
