"""Reading of TOML and JSON from elsewhere: every mistake is one line."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError
from mnist_core.files import check_regular

LARGEST = 1 << 20  # bytes of a TOML file that are read at most; ``/dev/zero`` has no end
DEEPEST = 32  # levels of tables and lists in a TOML file
_DIGITS = 20  # characters of a 64-bit integer


def toml_file(path: Path, *, source: str = "") -> dict[str, Any]:
    """Return a TOML file's tables; raise a ConfigError that names ``source``, else the path."""
    source = source or str(path)
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{source}: cannot be read: {reason}") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{source}: is larger than 1 MiB, so it is not a file of settings")
    try:
        text = content.decode("utf-8-sig")  # without a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: is not UTF-8 text (byte {error.start})") from None
    try:
        return toml(text)
    except ValueError as error:
        raise ConfigError(f"{source}: is not valid TOML: {error}") from None


def toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raise ValueError also if it is too deep or too large."""
    try:
        # Python's parsers raise other errors for thousands of digits and for deep brackets.
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = f"at line {text.count(chr(10)) + 1}"
        raise ValueError(str(error).replace("at end of document", end)) from None
    except RecursionError:
        raise ValueError(f"it nests deeper than {DEEPEST} levels") from None
    except ValueError:  # of int(), for thousands of digits
        raise ValueError("it holds an integer of more than 64 bits") from None
    _check(tables)  # dotted keys nest without an error, and then break what walks the tables
    return tables


def json_text(text: str) -> Any:
    """Return the value of JSON from elsewhere; raise ValueError also if it is too deep or large."""
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("it nests too deep") from None


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("it holds an integer of more than 64 bits")
    return int(digits)


def _check(tables: Mapping[str, Any]) -> None:
    """Check depth and integers, level by level: a recursion would fail at what it looks for."""
    level: list[Any] = [tables]
    for _ in range(DEEPEST + 1):
        if any(isinstance(value, int) and value.bit_length() > 64 for value in level):
            raise ValueError("it holds an integer of more than 64 bits")
        tables_here = (value.values() for value in level if isinstance(value, Mapping))
        lists = (value for value in level if isinstance(value, list))
        level = [item for values in (*tables_here, *lists) for item in values]
        if not level:
            return
    raise ValueError(f"it nests deeper than {DEEPEST} levels")
