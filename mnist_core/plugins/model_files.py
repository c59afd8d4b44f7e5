"""Where the files of models are, and whether one declares options: found without an import."""

# Models import torch, which takes seconds, and a configuration is read where no torch is needed.

import pkgutil
from pathlib import Path

import mnist_core
from mnist_core import plugins
from mnist_core.errors import ConfigError
from mnist_core.plugins import syntax

FAMILY = ":"
"""After the name of a file that makes several models: ``torchvision:resnet34``."""


def shipped() -> list[str]:
    """Return the names of the models of this package."""
    found = (module.name for module in pkgutil.iter_modules(map(str, _folders())))
    return [name for name in found if not name.startswith("_")]


def module_name(name: str) -> str:
    """Return the name of the module that makes model ``name``."""
    family, colon, _ = name.partition(FAMILY)
    return f"_{family}" if colon else name


def file_of(name: str) -> Path | None:
    """Return the file that makes model ``name``; None if there is none."""
    module = module_name(name)
    if module.isidentifier():
        for folder in _folders():
            for place in (folder / f"{module}.py", folder / module / "__init__.py"):
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

    True as well if its file is missing or is not Python: ``models.resolve`` reports that.
    """
    file = file_of(name)
    # Each member of a family has its options from the family's file.
    if file is None or FAMILY in name:
        return True
    try:
        return "Options" in syntax.defined(syntax.parse(file))
    except ConfigError:
        return True


def _folders() -> list[Path]:
    """Return the folders of this package's models; importing their package would import torch."""
    return [Path(folder) / "models" for folder in mnist_core.__path__]
