"""The kinds of storage, one module each; a module here is found by being here."""

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from studies.core.redaction import masked
from studies.storage.errors import StorageError

if TYPE_CHECKING:
    from studies.storage.base import Storage  # imports Optuna, which a plan does not need


class Kind(Protocol):
    """What a module of this package states about one kind of storage."""

    EXAMPLE: str
    """A URL of this kind."""
    FILE_SCHEMES: tuple[str, ...]
    """What comes before a file's path in a URL; () if the studies are not in a file."""
    JOINABLE: bool
    """Whether several processes can write to it at the same time."""

    def matches(self, url: str) -> bool:
        """Whether ``url`` is of this kind."""

    def quoted(self, path: str) -> str:
        """Return ``path`` as it stands in a URL."""

    def file(self, url: str) -> Path | None:
        """Return the file of ``url``, None if the studies are not in a file.

        Raises:
            StorageError: if the URL is wrong.
        """

    def check(self, url: str) -> None:
        """Check what can be known of ``url`` without opening it.

        Raises:
            StorageError: if it is wrong, or its driver is not installed.
        """

    def open_storage(self, url: str, *, create: bool) -> "Storage":
        """Open the storage at ``url``; see ``studies.storage.open``."""

    def check_sound(self, url: str) -> None:
        """Check that a closed storage can be read.

        Raises:
            StorageError: if it is damaged or missing.
        """

    def lock_path(self, path: Path) -> Path:
        """Return the file or folder to lock while the storage's file ``path`` is changed."""


@functools.cache
def known() -> dict[str, Kind]:
    """Return all kinds by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: cast(Kind, importlib.import_module(f"{__name__}.{name}")) for name in names}


def kind_of(url: str) -> Kind:
    """Return the kind of storage that ``url`` names.

    Raises:
        StorageError: if there is none.
    """
    found = [kind for kind in known().values() if kind.matches(url)]
    if found:
        return found[0]
    examples = " or ".join(kind.EXAMPLE for kind in known().values())
    parsed(url, examples)
    raise StorageError(f"storage {masked(url)!r} is not of a supported kind; write {examples}")


def parsed(url: str, example: str) -> URL:
    """Return the parts of a database's URL.

    Raises:
        StorageError: if it is not a database URL.
    """
    try:
        found = make_url(url)
        found.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):  # ValueError: of the port
        raise StorageError(
            f"storage {masked(url)!r} is not a database URL; write {example}, for example"
            " sqlite:///results/study.db"
        ) from None
    return found
