"""The kinds of storage, one module each; a module here is found by being here."""

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from studies.core.redaction import masked
from studies.storage.errors import StorageError

if TYPE_CHECKING:
    from studies.storage.base import Storage  # imports Optuna, which a plan does not need


class Kind(ABC):
    """One kind of storage; each module of this package has one as ``KIND``.

    Attributes:
        example: a URL of this kind.
        schemes: how its URLs begin.
        file_schemes: what comes before the path of a file in its URLs; () for servers.
        joinable: whether several processes can write to it at the same time.
    """

    example: str
    schemes: tuple[str, ...]
    file_schemes: tuple[str, ...] = ()
    joinable = True

    @abstractmethod
    def file(self, url: str) -> Path | None:
        """Return the file of ``url``, None on a server; raise ``StorageError`` if it is wrong."""

    @abstractmethod
    def open_storage(self, url: str, *, create: bool) -> "Storage":
        """Open the storage at ``url``; see ``studies.storage.open``."""

    def quoted(self, path: str) -> str:
        """Return the path of a file as it stands in a URL."""
        return path

    def check(self, url: str) -> None:
        """Raise ``StorageError`` if ``url`` is wrong or its driver missing; opens nothing."""
        self.file(url)

    def check_sound(self, url: str) -> None:
        """Raise ``StorageError`` if a closed storage is damaged or missing."""
        del url

    def lock_path(self, path: Path) -> Path:
        """Return the file or folder to lock while the storage's file ``path`` is changed."""
        return path.parent


@functools.cache
def known() -> dict[str, Kind]:
    """Return all kinds by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").KIND for name in names}


def kind_of(url: str) -> Kind:
    """Return the kind of storage that ``url`` names; raise ``StorageError`` if there is none."""
    for kind in known().values():
        if url.startswith(kind.schemes):
            return kind
    examples = " or ".join(kind.example for kind in known().values())
    parsed(url, examples)
    raise StorageError(f"storage {masked(url)!r} is not of a supported kind; write {examples}")


def parsed(url: str, example: str) -> URL:
    """Return the parts of a database's URL; raise ``StorageError`` if it is not a database URL."""
    try:
        found = make_url(url)
        found.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):  # ValueError: of the port
        raise StorageError(
            f"storage {masked(url)!r} is not a database URL; write {example}, for example"
            " sqlite:///results/study.db"
        ) from None
    return found
