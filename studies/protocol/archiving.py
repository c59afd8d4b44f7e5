"""``studies archive``: a whole study in one file, and back.

The folder is archived as it is. Of a study whose database lies elsewhere the archive has a copy of
what the database holds, as ``study.db`` in the folder.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mnist_core.errors import UserError
from studies.core.redaction import masked
from studies.planning.lookup import DATABASE
from studies.protocol.moved_aside import lies_elsewhere, locked
from studies.storage import archive_file, leases
from studies.storage.archive_file import ArchiveError, Manifest
from studies.storage.copying import copy_study
from studies.storage.errors import system_errors
from studies.storage.location import StudyLocation
from studies.storage.open import sqlite_url, storage_file
from studies.storage.process_identity import process_start
from studies.storage.url import is_joinable

_BESIDE = ("-wal", "-shm")  # of an SQLite file: what is not folded into it yet
_DRAFT = ".archiving-"  # how the names of drafts begin


def archive_study(
    location: StudyLocation, target: Path, *, remove: bool, say: Callable[[str], object]
) -> Manifest:
    """Write the study to the new file ``target``, read that again, and return what it holds.

    With ``remove`` the study's folder is removed then.

    Raises:
        UserError: if a living process runs the study, ``target`` exists, or a file cannot be read
            or written. Then the study is as it was, and there is no ``target``.
    """
    if os.path.lexists(target):
        raise ArchiveError(f"{target} exists; name another file with --to, or move it away")
    with locked(location), system_errors(target), _draft_beside(target) as draft:
        _check_idle(location)
        sources, folders, links = _files(location.folder)
        database = _snapshot(location, draft)
        for name in [name for name in sources if name in _replaced(database)]:
            del sources[name]
        sources |= database
        manifest = Manifest(
            study=location.name,
            folder=location.folder.name,
            storage=masked(location.url) if lies_elsewhere(location) else "",
            files={name: archive_file.entry_of(path) for name, path in sorted(sources.items())},
            folders=tuple(sorted(folders)),
        )
        part = draft / target.name
        archive_file.write(manifest, sources, part)
        if archive_file.verify(part).files != manifest.files:
            raise ArchiveError(f"{part}: does not hold what was written; nothing was archived")
        _check_unchanged(location, manifest, set(database))
        part.rename(target)
    for link in links:
        say(f"left out, as it is a link: {link}")
    if remove:
        _remove(location, manifest, set(database))
    return manifest


def restore(file: Path, results: Path) -> tuple[Manifest, Path]:
    """Write the archived study into ``results``; return what was archived, and the new folder.

    Raises:
        UserError: if the archive is damaged or not one, there is such a folder already, or a file
            cannot be written. Then nothing was written.
    """
    found = archive_file.verify(file)
    folder = results / found.folder
    if os.path.lexists(folder):
        raise ArchiveError(
            f"{folder} exists, and is not written over; rename that study (studies rename), or"
            " restore into another folder (--set results.folder=FOLDER)"
        )
    with system_errors(folder):
        results.mkdir(parents=True, exist_ok=True)
        _remove_drafts(results)
        free = shutil.disk_usage(results).free
        if free < found.size:
            raise ArchiveError(
                f"{results}: has room for {free:,} bytes, but the study has {found.size:,}"
            )
        with _draft_beside(folder) as draft:
            archive_file.extract(file, lambda manifest: draft / manifest.folder)
            (draft / found.folder).rename(folder)
    return found, folder


def _check_idle(location: StudyLocation) -> None:
    with location.opened(required=True) as studies:
        if studies.search is None:
            raise UserError(f"there is no study {location.name!r} in {location.folder}")
        leases.check_idle(studies.search, "archive it")


def _files(folder: Path) -> tuple[dict[str, Path], set[str], list[Path]]:
    """Return the files below ``folder`` by their paths in it, the folders, and the links.

    Raises:
        ArchiveError: if there is something else, e.g. a pipe.
    """
    files: dict[str, Path] = {}
    folders: set[str] = set()
    links: list[Path] = []
    for place, inner, names in os.walk(folder, onerror=_raise):
        for name in [*inner, *names]:
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                links.append(path)
            elif path.is_dir():
                folders.add(relative)
            elif path.is_file():
                files[relative] = path
            else:
                raise ArchiveError(f"{path}: is a pipe or a device, not a file; remove it")
    return files, folders, links


def _raise(error: OSError) -> None:
    raise error


def _snapshot(location: StudyLocation, draft: Path) -> dict[str, Path]:
    """Return the study's database by its path in the archive: a whole copy in ``draft``."""
    copy = draft / DATABASE
    file = storage_file(location.url)
    if lies_elsewhere(location):
        if (location.folder / DATABASE).exists():
            raise ArchiveError(
                f"{location.folder} holds a {DATABASE}, but the study is kept in"
                f" {masked(location.url)}; move that file away"
            )
        copy_study(location.name, source=location.url, target=sqlite_url(copy))
        return {DATABASE: copy}
    assert file is not None
    name = file.absolute().relative_to(location.folder.absolute()).as_posix()
    log = file.with_name(f"{file.name}-wal")
    if is_joinable(location.url) or not (log.exists() and log.stat().st_size):
        return {name: file}
    # Another program has it open, so a part of it is still in its log.
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    found = file.stat()
    os.utime(copy, ns=(found.st_mtime_ns, found.st_mtime_ns))
    return {name: copy}


def _replaced(database: dict[str, Path]) -> set[str]:
    """Return the files of the folder that the copy of the database stands for."""
    return {f"{name}{end}" for name in database for end in ("", *_BESIDE)}


def _check_unchanged(location: StudyLocation, manifest: Manifest, database: set[str]) -> None:
    """Raise ArchiveError if the folder is not as it was archived; its database is not compared."""
    _check_idle(location)
    files, _, _ = _files(location.folder)
    skipped = {f"{name}{end}" for name in database for end in ("", *_BESIDE)}
    now = {name: _stamp(path) for name, path in files.items() if name not in skipped}
    then = {
        name: (entry.size, entry.modified)
        for name, entry in manifest.files.items()
        if name not in skipped
    }
    if now != then:
        changed = next(name for name in sorted(now | then) if now.get(name) != then.get(name))
        raise ArchiveError(
            f"{location.folder / changed} was changed while it was archived; run the command again"
        )


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _remove(location: StudyLocation, manifest: Manifest, database: set[str]) -> None:
    """Remove the study's folder, which is whole in the archive."""
    folder = location.folder
    with locked(location), system_errors(folder):
        _check_unchanged(location, manifest, database)
        hidden = folder.with_name(f"{_DRAFT}removed-{folder.name}")
        shutil.rmtree(hidden, ignore_errors=True)  # of a command that was killed here
        folder.rename(hidden)  # so a kill leaves no half of a study under its name
        shutil.rmtree(hidden)


@contextlib.contextmanager
def _draft_beside(path: Path) -> Iterator[Path]:
    """Make a folder on the same disk as ``path``; it is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts(path.parent)
    mine = f"{_DRAFT}{socket.gethostname()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=mine) as folder:
        yield Path(folder)


def _remove_drafts(folder: Path) -> None:
    """Remove the drafts of killed processes of this machine."""
    start = f"{_DRAFT}{socket.gethostname()}-"
    for left in folder.glob(f"{_DRAFT}*"):
        pid = left.name.removeprefix(start).partition("-")[0]
        if left.name.startswith(start) and pid.isdecimal() and process_start(int(pid)) is None:
            shutil.rmtree(left, ignore_errors=True)
