"""Reading a training's settings from a TOML file, e.g. a study's best_config.toml."""

from pathlib import Path
from typing import Any

from mnist_core import parsing
from mnist_core.errors import ConfigError

RECORD = "record"
"""The table in which a study's best_config.toml says what it measured; no setting of a training."""


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a TOML file, and its record apart (empty if there is none).

    Raises:
        ConfigError: the file cannot be read or is no TOML.
    """
    tables = parsing.toml_file(path)
    record = tables.pop(RECORD, {})
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: {RECORD} must be a table, but got {record!r}")
    return tables, record
