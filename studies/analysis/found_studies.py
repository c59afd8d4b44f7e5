"""The studies that can be run, and those that lie in a folder of results or a storage."""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mnist_core.console.plain_text import one_line
from mnist_core.errors import ConfigError, UserError
from objectives import kinds
from studies import catalog
from studies.analysis.listed_study import ELSEWHERE, UNREADABLE, FoundStudy, read_listed
from studies.core.attributes import CONFIRM
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import last_study
from studies.core.redaction import masked
from studies.planning.lookup import database_of, study_in_folder
from studies.planning.settings import Settings
from studies.storage.location import StudyLocation


@dataclass(frozen=True, kw_only=True)
class CatalogStudy:
    """A study in the catalog."""

    name: str
    goal: str = ""
    minutes: int | None = None  # as ``StudySpec`` has it
    broken: str = ""  # why it cannot be run; "": it can
    file: str = ""  # where it comes from, for people
    own: bool = False  # a user's own


def catalog_studies() -> Iterator[CatalogStudy]:
    """Yield the studies of the catalog, by name."""
    shipped = catalog.shipped()
    for name in catalog.names():
        file, own = catalog.file_of(name), name not in shipped
        try:
            spec = catalog.get(name)
            # A broken objective or model of the user's own is named here, not at the start.
            kinds.adapter(spec.objective, Settings().train, spec.space).check_code(spec.fixed)
        except ConfigError as error:
            yield CatalogStudy(name=name, broken=str(error), file=file, own=own)
        else:
            yield CatalogStudy(name=name, goal=spec.goal, minutes=spec.minutes, file=file, own=own)


def found_studies(results: Path, url: str = "") -> Iterator[FoundStudy]:
    """Yield the studies in ``results``, by the names of their folders, then those in a storage.

    ``url`` is the storage that the settings name; "": none, each study has its own.
    """
    stored = {one.name: one for one in _in_storage(results, url)} if url else {}
    for folder in _folders(results):
        try:
            found = _in_folder(folder, stored)
        except (UserError, OSError) as error:
            why = masked(one_line(str(error)))
            found = FoundStudy(name=folder.name, folder=folder, state=UNREADABLE, why=why)
        if found is not None:
            stored.pop(found.name, None)
            yield dataclasses.replace(
                found, size=size_of(folder), date=found.date or _changed(folder)
            )
    yield from stored.values()


def size_of(folder: Path) -> int:
    """Return the bytes of all files in ``folder``, those of links left out."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # a running study removes files meanwhile
        return total
    return total


def _folders(results: Path) -> list[Path]:
    """Return the folders that may be of studies; names that begin with a dot are drafts."""
    try:
        return sorted(one for one in results.iterdir() if one.name[0] != "." and one.is_dir())
    except OSError:
        return []


def _in_folder(folder: Path, stored: dict[str, FoundStudy]) -> FoundStudy | None:
    if url := database_of(folder):
        with StudyLocation(folder.name, folder, url).opened() as studies:
            # A run that was refused before its first trial leaves an empty database.
            name = study_in_folder(studies) if studies.names else ""
            found = read_listed(studies.of(name, folder)) if name else None
        if found is None and (folder / EVENTS).exists():
            raise UserError(f"{folder}: its database does not hold the study of its event log")
        return found
    about = last_study(folder / EVENTS)
    name = str(about.get("name", folder.name))
    if name in stored:
        return dataclasses.replace(stored[name], folder=folder)
    if not about:
        return None
    # A list must not wait for a server that may be gone.
    return FoundStudy(
        name=name,
        folder=folder,
        goal=str(about.get("goal", "")),
        state=ELSEWHERE,
        why=masked(str(about.get("storage", ""))),
    )


def _in_storage(results: Path, url: str) -> Iterator[FoundStudy]:
    """Yield the studies in the storage at ``url``, by name."""
    try:
        with StudyLocation("", results, url).opened() as studies:
            for name in sorted(name for name in studies.names if not name.endswith(CONFIRM)):
                found = read_listed(studies.of(name, results / name))
                if found is not None:
                    yield dataclasses.replace(found, folder=None, storage=masked(url))
    except (UserError, OSError) as error:
        why = masked(one_line(str(error)))
        yield FoundStudy(name="", folder=None, state=UNREADABLE, why=why, storage=masked(url))


def _changed(folder: Path) -> datetime | None:
    """Return when the study in ``folder`` last wrote something."""
    times = []
    for path in (folder / EVENTS, folder):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(times[0]).astimezone() if times else None
