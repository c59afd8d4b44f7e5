"""Where studies are that ``--fresh`` moved aside: ``<name>.<time>`` beside the new one.

With a database in the study's folder the folder is renamed. With a database elsewhere the study is
renamed in it, and so is the folder.
"""

import os
import re
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

from mnist_core.errors import UserError
from studies.core.attributes import CONFIRM
from studies.protocol.renamed import former
from studies.storage.location import StudyLocation
from studies.storage.open import exclusive, sqlite_url
from studies.storage.url import storage_file, with_file

_STAMP = re.compile(r"\.\d{8}-\d{6}")


def lies_elsewhere(location: StudyLocation) -> bool:
    """Return whether the study's database stays where it is when its folder is moved."""
    file = storage_file(location.url)
    # A server has no file.
    return file is None or not file.absolute().is_relative_to(location.folder.absolute())


def locked(location: StudyLocation) -> AbstractContextManager[None]:
    """Keep other processes that move studies out of the folder that the study's folder lies in.

    Not where the database lies elsewhere: it may lie in that folder, which is locked to open it.
    """
    return nullcontext() if lies_elsewhere(location) else exclusive(sqlite_url(location.folder))


def free_stamp(location: StudyLocation, names: Collection[str] = ()) -> str:
    """Return what is added to the study's name to move it aside: ``.<time>``."""
    now = datetime.now()
    while True:
        stamp = f".{now:%Y%m%d-%H%M%S}"
        moved = {location.name + stamp, f"{location.name}{stamp}{CONFIRM}"}
        if not os.path.lexists(aside_folder(location, stamp)) and not moved.intersection(names):
            return stamp
        # Two ``--fresh`` within a second.
        now += timedelta(seconds=1)


def aside_folder(location: StudyLocation, stamp: str) -> Path:
    """Return where the study's folder is moved to."""
    return location.folder.with_name(location.folder.name + stamp)


def url_in(location: StudyLocation, folder: Path) -> str:
    """Return the URL of the study's storage if its folder were ``folder``."""
    file = storage_file(location.url)
    assert file is not None
    path = folder / file.absolute().relative_to(location.folder.absolute())
    return with_file(location.url, path)


def was_moved(location: StudyLocation, names: Collection[str]) -> bool:
    """Return whether a study of this name was moved aside; ``names``: in its storage."""
    in_storage = lies_elsewhere(location) and moved_studies(location.name, names)
    return bool(moved_folders(location.folder) or in_storage)


def moved_folders(folder: Path) -> list[Path]:
    """Return the folders that ``folder`` was moved to, the earliest first."""
    beside = folder.absolute().parent
    try:
        found = sorted(beside.iterdir()) if beside.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot look into {beside}: {error.strerror}") from None
    return [one for one in found if _is_aside(one.name, folder.name) and one.is_dir()]


def renamed_folders(folder: Path) -> dict[Path, str]:
    """Return the folders of studies that were called ``folder`` once, and a name of each.

    The name stays the same if a study is renamed again, so that a reading counts once.
    """
    beside = folder.absolute().parent
    try:
        found = sorted(beside.iterdir()) if beside.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot look into {beside}: {error.strerror}") from None
    known = [(one, former(one)) for one in found if one.name != folder.name]
    return {
        one: f"{was.names[0]} (renamed since)"
        for one, was in known
        if was is not None and folder.name in was.names
    }


def moved_studies(study: str, names: Collection[str]) -> list[str]:
    """Return the names among ``names`` that ``study`` was renamed to, the earliest first."""
    found = {name.removesuffix(CONFIRM) for name in names}
    return sorted(name for name in found if _is_aside(name, study))


def _is_aside(name: str, study: str) -> bool:
    return name.startswith(study) and _STAMP.fullmatch(name.removeprefix(study)) is not None
