"""The syntax tree of a file of the user's own, and its hash."""

import ast
import hashlib
from typing import Any

_HASHED = 16  # hexadecimal digits of a hash


def hash_of(tree: ast.AST) -> str:
    """Return the hash of a syntax tree, so comments and line breaks do not matter."""
    return hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()[:_HASHED]


def hash_of_bytes(content: bytes) -> str:
    """Return the hash of a file that is not Python."""
    return hashlib.sha256(content).hexdigest()[:_HASHED]


def _shape(node: Any) -> Any:
    """Return a syntax tree as plain values, the same in every version of Python."""
    if isinstance(node, list):
        return [_shape(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
    # Newer versions of Python have more fields, which are empty here.
    kept = [(name, _shape(value)) for name, value in fields if value is not None and value != []]
    return type(node).__name__, kept
