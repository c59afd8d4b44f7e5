"""Where the files of models are, and whether one declares options: found without an import."""

# Models import torch, which takes seconds, and a configuration is read where no torch is needed.

import ast
from pathlib import Path

from mnist_core import plugins
from mnist_core.errors import ConfigError

FAMILY = ":"
"""After the name of a file that makes several models: ``torchvision:resnet34``."""

_SHIPPED = Path(__file__).parent / "models"


def module_name(name: str) -> str:
    """Return the name of the module that makes model ``name``."""
    family, colon, _ = name.partition(FAMILY)
    return f"_{family}" if colon else name


def file_of(name: str) -> Path | None:
    """Return the file that makes model ``name``; None if there is none."""
    module = module_name(name)
    if module.isidentifier():
        for place in (_SHIPPED / f"{module}.py", _SHIPPED / module / "__init__.py"):
            if place.is_file():
                return place
    if FAMILY in name:
        return None
    try:
        own = plugins.find("models", name)
        return next(iter(own.sources().values())) if own else None
    except ConfigError:  # which models.resolve raises as well
        return None


def declares_options(name: str) -> bool:
    """Return whether model ``name`` checks its options itself, by a class ``Options``.

    True as well if its file is missing or is not Python: whoever builds the model says so.
    """
    file = file_of(name)
    if file is None:
        return True
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(_binds_options(node) for node in ast.walk(tree))


def _binds_options(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == "Options"
    if isinstance(node, ast.alias):
        return (node.asname or node.name) == "Options"
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "Options"
