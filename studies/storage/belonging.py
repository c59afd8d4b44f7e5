"""Which study the files in a folder belong to; files without an identity pass."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_core.errors import UserError
from mnist_core.files import from_here, write_atomically
from studies.core.attributes import FINGERPRINT, IDENTITY
from studies.core.event_log import FILE, identity_in
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.url import shown, storage_file

if TYPE_CHECKING:
    from studies.storage.open import Storage

MODELS = "checkpoints"  # folder of the models, and of the states of running trials
KEPT = ".kept"  # how the names of the trackers' lists end, in the folder ``trackers``

_MARK = "study.id"
_MODELS = f"{MODELS}/"
_LINE = "study id "


class ForeignFiles(UserError):
    """A study's folder holds files of another study."""


def new_identity() -> str:
    """Return an identity for a new study."""
    # It is kept in the database, in the log's ``study`` events, in each tracker's list and beside
    # the models, so files are recognised after any of these was deleted, copied or moved.
    return uuid.uuid4().hex[:8]


def kept_line(identity: str) -> str:
    """Return the first line of a tracker's list."""
    return f"{_LINE}{identity}"


def owner(folder: Path) -> str:
    """Return the identity that the files in ``folder`` name first, "" if they name none."""
    return next((identity for _, identity in _owners(folder)), "")


def check_owner(folder: Path, identity: str, database: str) -> None:
    """Check that no file in ``folder`` belongs to another study.

    ``identity`` is "" for a study that is not made yet; the error names ``database``.

    Raises:
        ForeignFiles: if a file belongs to another study.
        UserError: if a file cannot be read.
    """
    foreign = [f"{what} of study {of}" for what, of in _owners(folder) if of != identity]
    if foreign:
        there = f"holds study {identity}" if identity else "does not hold this study"
        raise ForeignFiles(
            f"{from_here(folder)} holds {', '.join(foreign)}, but {database} {there}: put the"
            " database that they belong to in its place, choose another results.folder, or start"
            " fresh (--fresh moves them aside)"
        )


def check_folder(location: StudyLocation, storage: "Storage") -> None:
    """Check that the folder's files belong to the study in ``storage``, before it is made."""
    attributes = OpenedStudies(location, storage).attributes(location.name) or {}
    # A study that was killed before it had its identity gets one when it is opened next.
    if FINGERPRINT not in attributes or IDENTITY in attributes:
        check_owner(location.folder, str(attributes.get(IDENTITY, "")), shown(storage.url))


def check_unowned_folder(location: StudyLocation) -> None:
    """Check that the folder holds no study's files if the study's database is missing.

    Raises:
        UserError: if it does: the database was deleted, and a new one would not fit them.
    """
    file = storage_file(location.url)
    if file is not None and (not file.exists() or (file.is_file() and file.stat().st_size == 0)):
        check_owner(location.folder, "", shown(location.url))


def foreign_models(folder: Path, identity: str) -> str:
    """Return which other study ``folder``'s models are of, or ""; raise UserError if unreadable."""
    found = next((of for what, of in _owners(folder) if what == _MODELS), identity)
    return "" if found == identity else found


def mark(folder: Path, identity: str) -> None:
    """Write ``identity`` beside the models if there is none; raise UserError if it cannot be."""
    path = folder / MODELS / _MARK
    if not path.exists():
        write_atomically(path, f"{identity}\n")


def _owners(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that name a study, and its identity."""
    path = folder
    try:
        path = folder / FILE
        if path.is_file() and (identity := identity_in(path)):
            yield FILE, identity
        path = folder / MODELS / _MARK
        if path.is_file():
            yield _MODELS, path.read_text(encoding="utf-8", errors="replace").strip()
        for path in sorted((folder / "trackers").glob(f"*{KEPT}")):
            with path.open(encoding="utf-8", errors="replace") as file:
                line = file.readline()
            if line.startswith(_LINE) and line.endswith("\n"):
                yield f"trackers/{path.name}", line.removeprefix(_LINE).strip()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
