"""``--fresh``: a study starts fresh, and the old one is moved aside.

The test set is the same for both: where the old study has read it, that stays on record, as in a
fork. The new study may rest on what was seen.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mnist_core.errors import UserError
from studies.core.attributes import CONFIRM
from studies.planning.plan import Plan
from studies.protocol.inherited_readings import Heir
from studies.protocol.moved_aside import aside_folder, free_stamp, lies_elsewhere, url_in
from studies.storage import leases
from studies.storage.copying import CopyError, write_studies
from studies.storage.location import OpenedStudies
from studies.storage.open import (
    Damaged,
    Storage,
    close_storage,
    exclusive,
    open_storage,
    shown,
    sqlite_url,
)


def start_fresh(plan: Plan, *, say: Callable[[str], object]) -> Path | None:
    """Move the study aside, keep on record when the test set was read, and return the old folder.

    Raises:
        UserError: if a living process runs the study, its database cannot be read (damage is
            allowed), or there is no room for the record. Then nothing was moved.
    """
    location = plan.location
    heir = Heir(location, plan.adapter.data_name, plan.goals)
    if lies_elsewhere(location):
        return _rename_in_storage(heir, say)
    if not location.folder.exists():
        return None
    # Whenever a storage in it is opened, its own folder is locked.
    with exclusive(sqlite_url(location.folder)):
        stamp = free_stamp(location)
        found = heir.inherited(stamp=stamp)
        with suppress(Damaged), location.opened() as studies:  # damaged: not known who runs it
            _check_idle(studies)
        draft = _draft(location.folder)
        _remove(draft)
        try:
            # Before anything is moved: the new study's record, in a draft that takes its place.
            for content in heir.contents(found):
                write_studies([content], url_in(location, draft))
            moved = _move(location.folder, aside_folder(location, stamp))
            # A kill here leaves no study there; the next start inherits from what was moved aside.
            if draft.exists():
                _move(draft, location.folder)
        except Exception:
            _remove(draft)
            raise
    for line in (f"moved the old study to {moved}", *found.notes):
        say(line)
    return moved


def inherit_record(heir: Heir, storage: Storage) -> tuple[Storage, list[str]]:
    """Write the record that a study inherits, if it is missing.

    Returns:
        The storage, opened again if something was written, and lines to print.
    """
    location = heir.location
    try:
        missing = heir.missing(storage)
    except BaseException:
        close_storage(storage)
        raise
    if missing is None:
        return storage, []
    close_storage(storage)
    with suppress(CopyError):  # another process has written it since
        write_studies([missing.content], location.url, renamed=missing.renamed)
    _remove(_draft(location.folder))
    storage = open_storage(location.url, create=True)
    if heir.missing(storage) is not None:
        close_storage(storage)
        raise UserError(
            f"{shown(location.url)}: the record of the test set could not be written; run the"
            " same command again"
        )
    said = f"{location.name} was started fresh: it inherits the record of the test set"
    return storage, [said, *missing.notes]


def _rename_in_storage(heir: Heir, say: Callable[[str], object]) -> Path | None:
    """Rename the study in a storage that lies elsewhere, and move its folder aside."""
    location, name = heir.location, heir.location.name
    with location.opened() as studies:
        names = studies.names
        _check_idle(studies)
    stamp = free_stamp(location, names)
    found = heir.inherited(stamp=stamp)
    renames = {name: f"{name}{stamp}", location.confirm: f"{name}{stamp}{CONFIRM}"}
    renamed = {old: new for old, new in renames.items() if old in names}
    # First: a study without its folder can be resumed, a folder without its study cannot.
    folder = aside_folder(location, stamp)
    moved = _move(location.folder, folder) if location.folder.exists() else None
    try:
        contents = heir.contents(found)
        # The old study's new name and the record are written in one step.
        if contents or renamed:
            write_studies(contents, location.url, renamed=renamed)
    except UserError:
        if moved is not None:
            _move(moved, location.folder)
        raise
    if moved is not None:
        say(f"moved the old study to {moved}")
    if renamed:
        say(f"the old study is called {name}{stamp} from now on")
    for line in found.notes:
        say(line)
    return moved


def _check_idle(studies: OpenedStudies) -> None:
    """Refuse to move a study that a living process runs."""
    if studies.search is not None:
        leases.check_idle(studies.search, "start fresh")


def _draft(folder: Path) -> Path:
    """Return the folder of the new study's record, before anything is moved."""
    return folder.with_name(f".{folder.name}.fresh")


def _remove(draft: Path) -> None:
    """Remove a draft, also that of a ``--fresh`` which was killed."""
    try:
        if draft.exists():
            shutil.rmtree(draft)
    except OSError as error:
        raise UserError(f"cannot remove {draft}: {error.strerror}") from None


def _move(folder: Path, target: Path) -> Path:
    try:
        return folder.rename(target)
    except OSError as error:
        raise UserError(f"cannot move {folder} to {target}: {error.strerror}") from None
