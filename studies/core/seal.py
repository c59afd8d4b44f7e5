"""The seal of an export: a hash of its content, by which an edited file is recognised."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w

from mnist_core.config import RECORD

SEAL = "sha256"  # name of the seal in the table ``[record]``

_PLACES = (("device",), ("threads",), ("data", "root"))
"""Settings that say where a training runs, which may be changed."""


def sealed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of an export with the seal in its record."""
    # A file whose learning rate, seed or value was changed by hand records no measurement, and
    # must not be called reproduced.
    return {**tables, RECORD: {**tables[RECORD], SEAL: _digest(tables)}}


def is_whole(settings: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether an export, ``settings`` and ``record``, is as it was written, or has no seal."""
    said = {name: value for name, value in record.items() if name != SEAL}
    return SEAL not in record or record[SEAL] == _digest({**settings, RECORD: said})


def _digest(tables: Mapping[str, Any]) -> str:
    # As they are read from the file.
    plain = tomllib.loads(tomli_w.dumps(tables))
    for *parents, leaf in _PLACES:
        table = plain
        for parent in parents:
            table = table.get(parent, {})
        if isinstance(table, dict):
            table.pop(leaf, None)
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
