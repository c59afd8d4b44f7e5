"""Tables of settings: frozen and validated; every mistake is one line with the nearest key."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mnist_core import parsing
from mnist_core.errors import ConfigError, nearest_name


class _Absent:
    def __str__(self) -> str:
        return "nothing"


ABSENT = _Absent()  # stands in a difference for a setting that one side does not have


class Table(BaseModel):
    """One table of settings: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Return the dotted names of all settings, in order, down through nested tables."""
        keys: list[str] = []
        for name, info in cls.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, Table):
                keys.extend(f"{name}.{key}" for key in info.annotation.setting_names())
            else:
                keys.append(name)
        return tuple(keys)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str) -> Self:
        """Build from nested ``values``; ``source`` (a file or option) is named in errors.

        Raises:
            ConfigError: if a key is unknown (with the nearest valid one), or of a wrong type or
                range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_first_problem(cls, error)}") from None

    def override(self, values: Mapping[str, Any], *, source: str = "--set") -> Self:
        """Return a copy with dotted keys replaced; raise ``ConfigError`` if one is wrong."""
        nested = self.model_dump()
        for key, value in values.items():
            *parents, leaf = key.split(".")
            table = nested
            for depth, parent in enumerate(parents):
                if not isinstance(table.get(parent), dict):
                    prefix = ".".join([*parents[:depth], ""])
                    siblings = {
                        prefix + name.removeprefix(prefix).partition(".")[0]
                        for name in self.setting_names()
                        if name.startswith(prefix)
                    }
                    raise ConfigError(
                        f"{source}: {unknown_setting(key, siblings, self.setting_names())}"
                    )
                table = table[parent]
            if isinstance(table.get(leaf), dict) and not isinstance(value, Mapping):
                inner = ", ".join(f"{key}.{name}" for name in table[leaf])
                raise ConfigError(f"{source}: {key} is a table, set one of its keys ({inner})")
            table[leaf] = value
        return self.from_mapping(nested, source=source)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return plain nested values, as pydantic does."""
        # Without pydantic's warnings: a model's own option may have the name of a listed one, and
        # another type.
        return super().model_dump(**{"warnings": False, **options})

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values; settings that are ``None`` are left out, as TOML has none."""
        return self.model_dump(exclude_none=True)


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``tables`` by dotted names: ``{"optim": {"lr": 1}}`` as ``{"optim.lr": 1}``."""
    return dict(flat_items(tables))


def flat_items(
    tables: Mapping[str, Any], prefix: str = "", *, keep_empty: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the items of ``flatten``; a name given twice, dotted and nested, comes twice.

    Empty tables are left out, unless ``keep_empty``.
    """
    for key, value in tables.items():
        if isinstance(value, Mapping) and (value or not keep_empty):
            yield from flat_items(value, f"{prefix}{key}.", keep_empty=keep_empty)
        else:
            yield f"{prefix}{key}", value


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, old and new value of what differs, in the order of ``old``, then ``new``.

    A list and a tuple of the same values are equal, as JSON does not have tuples.
    """
    for key in {**old, **new}:
        one, other = old.get(key, ABSENT), new.get(key, ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from difference(one, other, f"{prefix}{key}.")
        elif _plain(one) != _plain(other):
            yield f"{prefix}{key}", one, other


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``a.b=value``, the value as TOML or else text; raise ConfigError if there is no key."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: write KEY=VALUE, for example --set optim.lr=0.01")
    try:
        parsed = parsing.toml(f"v = {raw.strip()}")
    except ValueError:
        parsed = {}
    # More than one key: the text had line breaks, so it was not one value.
    return key.strip(), parsed["v"] if len(parsed) == 1 else raw.strip()


def as_written(error: Exception, options: Mapping[str, str]) -> Exception:
    """Return ``error`` with the option that was written in place of the setting that it becomes.

    ``options``: the options given, by their setting, e.g. ``{"epochs": "--epochs"}``.
    """
    text = str(error)
    for setting, option in options.items():
        for start in (f"--set: {setting}: ", f"--set: {setting} ", f"{setting}: "):
            if text.startswith(start):
                return ConfigError(f"{option}: {text.removeprefix(start)}")
    return error


def as_assignment(name: str, value: Any) -> str:
    """Return ``name=value`` as ``parse_assignment`` reads it."""
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def unknown_setting(key: str, siblings: Iterable[str], keys: Iterable[str]) -> str:
    """Return one line: ``key`` is not a setting, and the nearest of all settings, ``keys``."""
    # The nearest is one whose last part is spelled alike (lr: optim.lr; trainer.max_epochs:
    # epochs), or else one that is spelled alike as a whole.
    names, (table, _, last) = list(keys), key.rpartition(".")
    near = _alike(key, [name for name in names if name.rpartition(".")[2] == last])
    near = near or _alike(key, [name for name in names if name.rpartition(".")[0] == table])
    near = near or _alike(key, names)
    near = near or nearest_name(key, names, likeness=0.6)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"unknown setting {key!r}{hint} (valid: {', '.join(sorted(siblings))})"


def _alike(key: str, names: Iterable[str]) -> str | None:
    """Return the name whose last part is spelled most like that of ``key``, if any."""
    by_last: dict[str, list[str]] = {}
    for name in names:
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    last = nearest_name(key.rpartition(".")[2], by_last, likeness=0.6)
    return nearest_name(key, by_last[last], likeness=0.0) if last else None


def _first_problem(cls: type[Table], error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        model: Any = cls
        for part in problem["loc"][:-1]:
            model = model.model_fields[str(part)].annotation
        parents = where.rpartition(".")[0]
        valid = [f"{parents}.{name}" if parents else name for name in model.model_fields]
        return unknown_setting(where, valid, cls.setting_names())
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not where:
        return message
    if problem["type"] == "value_error" and isinstance(
        problem["input"], Mapping
    ):  # a rule of a whole table, which names its setting
        return message
    if problem["type"] == "value_error" and repr(problem["input"]) in message:
        return f"{where}: {message}"
    return f"{where}: {message}, but got {problem['input']!r}"


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
