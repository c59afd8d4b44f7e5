"""``--fresh``: a study is begun anew, and what is there is moved aside.

The test set knows nothing of folders: where the study that is moved aside has read it, that stays
on record, as in a fork. What is begun anew may rest on what was seen.

Nothing is moved before the record of the new study is written: beside the old folder, in a draft
that then takes its place. A kill between the two renamings leaves no study there; the next start
inherits from what was moved aside, see ``inheriting.py``. In a storage that lies elsewhere the old
study's new name and the record are written in one step.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mnist_core.errors import UserError
from studies.core.attributes import CONFIRM
from studies.planning.plan import Plan
from studies.protocol.inherited_readings import (
    Inheritance,
    aside_folder,
    free_stamp,
    inherited,
    lies_elsewhere,
    missing_record,
    names_in,
    opened,
    record_content,
    url_in,
)
from studies.storage import leases
from studies.storage.contents import Content
from studies.storage.copying import CopyError, write_studies
from studies.storage.leases import StudyInUse
from studies.storage.open import (
    Damaged,
    Storage,
    close_storage,
    exclusive,
    load_study,
    open_storage,
    shown,
    sqlite_url,
)


def start_fresh(plan: Plan, *, say: Callable[[str], object]) -> Path | None:
    """Move the study aside, and keep on record when the test set was read.

    Args:
        plan: of the study that is begun anew.
        say: gets a line with what was done.

    Returns:
        where the folder is now; None if there was none.

    Raises:
        UserError: a living process runs the study, its database cannot be read for another reason
            than damage, or there is no room for the record; nothing was moved.
    """
    if lies_elsewhere(plan):
        return _rename_in_storage(plan, say)
    if not plan.folder.exists():
        return None
    # Its own folder is locked whenever a storage in it is opened.
    with exclusive(sqlite_url(plan.folder)):
        stamp = free_stamp(plan)
        found = inherited(plan, stamp=stamp)
        try:
            with opened(plan.storage_url) as storage:
                _check_idle(plan, storage)
        except Damaged:
            pass  # nothing tells who runs it
        draft = _draft(plan)
        _remove(draft)
        try:
            for content in _contents(plan, found):
                write_studies([content], url_in(plan, draft))
            moved = _move(plan.folder, aside_folder(plan, stamp))
            if draft.exists():
                _move(draft, plan.folder)
        except Exception:
            _remove(draft)
            raise
    for line in (f"moved what was there to {moved}", *found.notes):
        say(line)
    return moved


def inherit_record(plan: Plan, storage: Storage) -> tuple[Storage, list[str]]:
    """Write the record that the study of ``plan`` inherits, where that is missing.

    Args:
        plan: of the study, which is about to be made or to go on.
        storage: of ``plan.storage_url``, open.

    Returns:
        The storage, opened again if something was written, and lines to say.

    Raises:
        UserError: a study that was moved aside cannot be read.
    """
    try:
        missing = missing_record(plan, storage)
    except BaseException:
        close_storage(storage)
        raise
    if missing is None:
        return storage, []
    close_storage(storage)
    with suppress(CopyError):  # another process has written it since
        write_studies([missing.content], plan.storage_url, renamed=missing.renamed)
    _remove(_draft(plan))
    storage = open_storage(plan.storage_url, create=True)
    if missing_record(plan, storage) is not None:
        close_storage(storage)
        raise UserError(
            f"{shown(plan.storage_url)}: the record of the test set could not be written; run the"
            " same command again"
        )
    said = f"{plan.name} was begun anew: it inherits the record of the test set"
    return storage, [said, *missing.notes]


def _rename_in_storage(plan: Plan, say: Callable[[str], object]) -> Path | None:
    """Give the study in a storage that lies elsewhere another name, and move its folder aside."""
    with opened(plan.storage_url) as storage:
        names = names_in(storage)
        _check_idle(plan, storage)
    stamp = free_stamp(plan, names)
    found = inherited(plan, stamp=stamp)
    studies = names.intersection((plan.name, f"{plan.name}{CONFIRM}"))
    renamed = {name: plan.name + stamp + name.removeprefix(plan.name) for name in studies}
    folder = aside_folder(plan, stamp)
    # First: a study without its folder goes on as it is, a folder without its study does not.
    moved = _move(plan.folder, folder) if plan.folder.exists() else None
    try:
        contents = _contents(plan, found)
        if contents or renamed:
            write_studies(contents, plan.storage_url, renamed=renamed)
    except UserError:
        if moved is not None:
            _move(moved, plan.folder)
        raise
    if moved is not None:
        say(f"moved what was there to {moved}")
    if renamed:
        say(f"the study that was there is called {plan.name}{stamp} from now on")
    for line in found.notes:
        say(line)
    return moved


def _contents(plan: Plan, found: Inheritance) -> list[Content]:
    return [] if found.record.empty else [record_content(plan, found.record)]


def _check_idle(plan: Plan, storage: Storage | None) -> None:
    """Refuse to move a study that a living process runs."""
    if storage is None or plan.name not in names_in(storage):
        return
    holder = leases.supervisor(load_study(plan.name, storage))
    if holder is not None:
        raise StudyInUse(
            f"study {plan.name!r} is being run by process {holder.pid} on {holder.host};"
            " stop it before you begin anew"
        )


def _draft(plan: Plan) -> Path:
    """Return the folder that the new study's record is written to, before anything is moved."""
    return plan.folder.with_name(f".{plan.folder.name}.fresh")


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
