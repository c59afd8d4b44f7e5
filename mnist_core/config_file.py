"""Reading a training's settings from a TOML file, e.g. a study's best_config.toml."""

import tomllib
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError

RECORD = "record"
"""The table in which a study's best_config.toml says what it measured; no setting of a training."""


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a TOML file, and its record apart (empty if there is none).

    Raises:
        ConfigError: the file cannot be read or is no TOML.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is no TOML: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    record = tables.pop(RECORD, {})
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: {RECORD} must be a table, but got {record!r}")
    return tables, record
