"""The seal of an export: a hash of all it says, so that an edited file is told from what was run.

What an export records belongs to its very settings. A file whose learning rate, seed or value was
changed by hand records nothing that anybody measured, and must not be called reproduced.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w

from mnist_core.config import RECORD

SEAL = "sha256"
"""Its name in the table ``[record]``."""

_PLACES = (("device",), ("threads",), ("data", "root"))
"""Settings that say where a training runs; who trains it elsewhere may change them."""


def sealed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of an export, its record with the seal."""
    return {**tables, RECORD: {**tables[RECORD], SEAL: _digest(tables)}}


def is_whole(settings: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether an export says what it said when it was written; also if it has no seal (an old one).

    Args:
        settings: all of its tables but the record.
        record: its record.
    """
    said = {name: value for name, value in record.items() if name != SEAL}
    return SEAL not in record or record[SEAL] == _digest({**settings, RECORD: said})


def _digest(tables: Mapping[str, Any]) -> str:
    # As a reader of the file has them.
    plain = tomllib.loads(tomli_w.dumps(tables))
    for *parents, leaf in _PLACES:
        table = plain
        for parent in parents:
            table = table.get(parent, {})
        if isinstance(table, dict):
            table.pop(leaf, None)
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
