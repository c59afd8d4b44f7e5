"""``studies rename OLD NEW``: a study gets another name in its storage, its folder and its files.

The new folder is made whole beside the old one, which stays as it is until then and is removed
last. A kill leaves the old study, the new one, or both; the same command finishes what is left.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mnist_core.errors import ConfigError, UserError
from mnist_core.files import from_here, write_atomically
from studies.core import study_names
from studies.core.attributes import LEASE
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import last_study, to_line
from studies.core.events import Event
from studies.core.redaction import masked
from studies.protocol.moved_aside import lies_elsewhere, locked, url_in
from studies.protocol.renamed import FILE as RENAMED
from studies.protocol.renamed import Former, former
from studies.storage import leases
from studies.storage.contents import difference, read_content
from studies.storage.copying import write_studies
from studies.storage.errors import system_errors
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.open import shown, storage_file
from studies.storage.url import is_joinable

_DRAFT = ".renaming-"
_REMOVED = ".renamed-"


def check_name(old: str, base: str, new: str) -> None:
    """Check that the study ``old`` of the catalog's study ``base`` may be called ``new``.

    Raises:
        ConfigError: if it may not: the commands would not find it, or would find another study.
    """
    # A study that --fresh moved aside in its storage has its time after a point.
    small, _ = study_names.parts(old.partition(".")[0], base)
    start = study_names.full(base, quick=small)
    if new == start:
        return
    if not new.startswith(f"{start}-"):
        raise ConfigError(
            f"NEW: a study of {base}{' --quick' if small else ''} is called {start} or"
            f" {start}-WORD, so that commands find its question, but got {new!r}; a good name is"
            f" {start}-first"
        )
    study_names.check(new.removeprefix(f"{start}-"), base)


def renamed_location(old: StudyLocation, name: str) -> StudyLocation:
    """Return where the study is once it is called ``name``."""
    folder = old.folder.with_name(name)
    return StudyLocation(name, folder, old.url if lies_elsewhere(old) else url_in(old, folder))


def rename(old: StudyLocation, new: StudyLocation, *, write_files: Callable[[], object]) -> None:
    """Rename the study at ``old``.

    Args:
        old: where it is.
        new: as ``renamed_location`` returns it.
        write_files: writes the files that name the study into the folder of ``new``.

    Raises:
        UserError: if a living process runs it, ``new`` exists, or a file cannot be written. Then
            the study is as it was.
    """
    with locked(old), system_errors(new.folder), old.opened(required=True) as studies:
        search = studies.search
        if search is None:
            raise UserError(f"there is no study {old.name!r} in {shown(old.url)}")
        leases.check_idle(search, "rename it")
        _discard_unfinished(studies, new)
        _check_free(studies, new)
        # No other process can start the study meanwhile.
        lease = leases.take(search)
        try:
            _make_folder(old, new)
            write_files()
            if lies_elsewhere(old):
                write_studies([], old.url, renamed=_names(studies, new))
        except BaseException:
            # After Ctrl-C at the last moment it may have its new name in the storage.
            if not (lies_elsewhere(old) and _is_named(new)):
                _discard(new.folder)
                leases.release(search, lease)
            raise
    _forget_lease(new)
    with locked(old), system_errors(old.folder):
        _finish(old.folder, new.folder)


def unfinished(name: str, new: Path) -> Former | None:
    """Return what the folder ``new`` says if a kill left it unfinished, and it was ``name``."""
    found = former(new)
    return found if found and not found.done and name in (found.names[-1], found.folder) else None


def finish(found: Former, new: StudyLocation) -> None:
    """Remove what is left of the old study, of which ``new`` has everything."""
    with locked(new), system_errors(new.folder):
        _forget_lease(new)
        _finish(new.folder.with_name(found.folder), new.folder)


def _finish(old: Path, new: Path) -> None:
    hidden = old.with_name(f"{_REMOVED}{old.name}")
    if hidden.exists():
        shutil.rmtree(hidden)
    if old.exists():
        old.rename(hidden)  # so a kill leaves no half of a study under its name
        shutil.rmtree(hidden)
    found = former(new)
    assert found is not None
    write_atomically(new / RENAMED, replace(found, done=True).to_text())


def _is_named(new: StudyLocation) -> bool:
    with contextlib.suppress(UserError), new.opened() as studies:
        return studies.search is not None
    return False


def _check_free(studies: OpenedStudies, new: StudyLocation) -> None:
    old = studies.location
    for name in (new.name, new.confirm):
        if name in studies.names:
            raise UserError(f"{shown(old.url)} holds a study {name!r} already; choose another name")
    if os.path.lexists(new.folder):
        raise UserError(f"{from_here(new.folder)} exists already; choose another name")
    if not lies_elsewhere(old):
        others = sorted(studies.names - {old.name, old.confirm})
        if others:
            raise UserError(
                f"{from_here(old.folder)}: its database holds other studies as well"
                f" ({', '.join(others[:3])}); copy this one to a database of its own (studies copy)"
            )


def _discard_unfinished(studies: OpenedStudies, new: StudyLocation) -> None:
    """Remove a new folder that a kill left unfinished: the old study still has everything.

    Raises:
        UserError: if the study in the new folder has run since, so both have something.
    """
    found = unfinished(studies.location.name, new.folder)
    if found is None or new.name in (studies.names if lies_elsewhere(new) else ()):
        return  # that it exists is an error which ``_check_free`` names
    if not lies_elsewhere(new):
        with new.opened() as there:
            if there.storage is None or not _same(studies, there):
                raise UserError(
                    f"a rename was killed, and one of {from_here(studies.location.folder)} and"
                    f" {from_here(new.folder)} has run since; remove the one that you do not want"
                )
    _discard(new.folder)


def _same(one: OpenedStudies, other: OpenedStudies) -> bool:
    for first, second in (
        (one.location.name, other.location.name),
        (one.location.confirm, other.location.confirm),
    ):
        if (first in one.names) != (second in other.names):
            return False
        if first not in one.names:
            continue
        assert one.storage is not None and other.storage is not None
        mine = replace(read_content(one.storage, first), name=second)
        if difference(mine, read_content(other.storage, second)):
            return False
    return True


def _names(studies: OpenedStudies, new: StudyLocation) -> dict[str, str]:
    renames = {studies.location.name: new.name, studies.location.confirm: new.confirm}
    return {old: name for old, name in renames.items() if old in studies.names}


def _make_folder(old: StudyLocation, new: StudyLocation) -> None:
    """Make the folder of ``new`` with everything of ``old``, its database under the new name."""
    draft = new.folder.with_name(f"{_DRAFT}{new.folder.name}")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    known = former(old.folder)
    names_before = (*(known.names if known else ()), old.name)
    mark = Former(names=names_before, folder=old.folder.name, done=False)
    write_atomically(draft / RENAMED, mark.to_text())
    file = None if lies_elsewhere(old) else storage_file(old.url)
    skipped = {str(old.folder.absolute() / RENAMED)}
    if file is not None:
        skipped |= {f"{file.absolute()}{end}" for end in ("", "-wal", "-shm")}
    if old.folder.is_dir():
        _link_tree(old.folder, draft, skipped)
    if file is not None:
        place = draft / file.absolute().relative_to(old.folder.absolute())
        _copy_database(file, place, journal=is_joinable(old.url))
        there = StudyLocation(old.name, draft, url_in(old, draft))
        with there.opened(required=True) as studies:
            names = _names(studies, new)
        write_studies([], there.url, renamed=names)
    _add_event(draft, new)
    draft.rename(new.folder)


def _link_tree(source: Path, target: Path, skipped: set[str]) -> None:
    """Link or copy all of ``source`` into ``target``, less the ``skipped`` files."""
    for place, folders, names in os.walk(source, onerror=_raise):
        here = target / Path(place).relative_to(source)
        for name in [*folders, *names]:
            path = Path(place) / name
            if path.is_symlink():
                (here / name).symlink_to(path.readlink())
            elif name in folders:
                (here / name).mkdir()
            elif str(path.absolute()) not in skipped:
                _link(path, here / name)


def _link(source: Path, target: Path) -> None:
    # Models may be large. What a later run appends to must not be shared by two folders.
    if source.suffix in (".safetensors", ".pt2", ".onnx"):
        with contextlib.suppress(OSError):  # a file system without links
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _raise(error: OSError) -> None:
    raise error


def _copy_database(source: Path, target: Path, *, journal: bool) -> None:
    if journal:
        shutil.copy2(source, target)
        return
    # With what is not folded into the file yet.
    with (
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _add_event(folder: Path, new: StudyLocation) -> None:
    """Add to the event log that the study has this name and storage now."""
    about = last_study(folder / EVENTS)
    if not about:
        return
    data = {**about, "name": new.name, "storage": masked(new.url)}
    line = to_line(Event(kind="study", phase="", data=data, time=time.time()))
    with (folder / EVENTS).open("rb+") as file:
        # A kill may have left half a line.
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _forget_lease(new: StudyLocation) -> None:
    """Remove the lease under which the study was renamed; it came with the database."""
    with new.opened(required=True) as studies:
        if studies.search is not None and leases.read_lease(studies.search) is not None:
            studies.search.set_user_attr(LEASE, None)


def _discard(folder: Path) -> None:
    hidden = folder.with_name(f"{_DRAFT}discarded-{folder.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    if folder.exists():
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)
