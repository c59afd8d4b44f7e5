"""The kinds of things that can be a user's own, and one such thing: its file or its package."""

import importlib
import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_core.errors import ConfigError, is_ctrl_c, said
from mnist_core.files import from_here
from mnist_core.plugins import python_files
from mnist_core.plugins.project import folders


@dataclass(frozen=True)
class Kind:
    """What can be a user's own."""

    what: str  # in errors
    names: tuple[str, ...]  # one of these is in a file of this kind; {} is the file's name as Camel
    group: str  # of entry points, each of which names a module that holds what a file would hold
    setting: str = ""  # which names one
    shipped: str = ""  # where those of this package are


KINDS = {
    "studies": Kind("study", ("STUDY",), "studies.catalog", "", "studies/catalog"),
    "models": Kind("model", ("build",), "mnist_core.models", "model.name", "mnist_core/models"),
    "objectives": Kind("objective", ("objective", "{}"), "objectives", "objective", "objectives"),
    "datasets": Kind(
        "data set", ("DATA_SET",), "mnist_core.data", "data.name", "mnist_core/data/registry.py"
    ),
    "optimizers": Kind(
        "optimizer", ("OPTIMIZER",), "mnist_core.optim", "optim.name", "mnist_core/optim.py"
    ),
    "losses": Kind("loss", ("LOSS",), "mnist_core.losses", "loss.name", "mnist_core/losses.py"),
    "metrics": Kind("metric", ("METRIC",), "mnist_core.metrics", "", "mnist_core/tasks"),
    "trackers": Kind("tracker", ("PACKAGE",), "studies.tracking", "", "studies/tracking"),
}


@dataclass(frozen=True)
class Plugin:
    """One thing of a user's own."""

    kind: str
    name: str
    file: Path | None = None  # absolute; None: it is installed
    entry: metadata.EntryPoint | None = None

    @property
    def where(self) -> str:
        """Where it comes from, for people."""
        if self.file is not None:
            return str(from_here(self.file))
        assert self.entry is not None
        package = self.entry.dist.name if self.entry.dist else "an installed package"
        return f"{package} ({self.entry.value})"

    def load(self) -> ModuleType:
        """Return its module.

        Raises:
            ConfigError: if the import fails.
        """
        if self.file is not None:
            return python_files.load(self.file)
        assert self.entry is not None
        try:
            return importlib.import_module(self.entry.module)
        except BaseException as error:  # a package of others may raise anything
            if is_ctrl_c(error):
                raise
            raise ConfigError(f"{self.where}: {said(error)}") from error

    def sources(self) -> dict[str, Path]:
        """Return its file and its own modules which that imports, by names without a folder.

        Raises:
            ConfigError: if one is not Python.
        """
        if self.file is not None:
            return python_files.sources(self.file, [self.file.parent, *folders()])
        assert self.entry is not None
        module = self.entry.module
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ConfigError(f"{self.where}: its module {module} cannot be found")
        file = Path(spec.origin)
        depth = module.count(".") + (file.name == "__init__.py")
        return python_files.sources(file, [file.parents[depth]], only=module.partition(".")[0])

    def value(self, of: Any) -> Any:
        """Return the value of its module that makes the file one of its kind.

        Raises:
            ConfigError: if the import fails, or the value is not a ``of``.
        """
        (name,) = KINDS[self.kind].names
        value = getattr(self.load(), name, None)
        if not isinstance(value, of):
            raise ConfigError(
                f"{self.where}: must define {name} of type {of.__name__}, but got {value!r:.80}"
            )
        return value
