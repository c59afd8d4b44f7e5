"""The studies that can be run, and those that lie in a folder of results."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_core.console.plain_text import one_line
from mnist_core.errors import ConfigError, UserError
from objectives import kinds
from studies import catalog
from studies.analysis import stored_study
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import last_study
from studies.core.redaction import masked
from studies.planning import lookup
from studies.planning.settings import Settings
from studies.storage.location import StudyLocation

ELSEWHERE = "elsewhere"
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class CatalogStudy:
    """A study in the catalog."""

    name: str
    goal: str = ""
    minutes: int | None = None  # as ``StudySpec`` has it
    broken: str = ""  # why it cannot be run; "": it can
    file: str = ""  # where it comes from, for people


@dataclass(frozen=True, kw_only=True)
class FoundStudy:
    """A study in a folder of results."""

    name: str
    folder: Path
    goal: str = ""
    # the phase (search, confirm, test, finished), ``elsewhere`` (the study is kept in a database
    # that is not asked) or ``unreadable``
    state: str
    running: bool = False  # whether a living process runs it
    why: str = ""  # of ``elsewhere``: where; of ``unreadable``: the error


def catalog_studies() -> Iterator[CatalogStudy]:
    """Yield the studies of the catalog, by name."""
    for name in catalog.names():
        file = catalog.file_of(name)
        try:
            spec = catalog.get(name)
            # A broken objective or model of the user's own is named here, not at the start.
            kinds.adapter(spec.objective, Settings().train, spec.space).check_code(spec.fixed)
        except ConfigError as error:
            yield CatalogStudy(name=name, broken=str(error), file=file)
        else:
            yield CatalogStudy(name=name, goal=spec.goal, minutes=spec.minutes, file=file)


def found_studies(results: Path) -> Iterator[FoundStudy]:
    """Yield the studies in ``results``, by the names of their folders."""
    try:
        folders = sorted(path for path in results.iterdir() if path.is_dir())
    except OSError:
        return
    for folder in folders:
        try:
            found = _in_folder(folder)
        except (UserError, OSError) as error:
            why = masked(one_line(str(error)))
            found = FoundStudy(name=folder.name, folder=folder, state=UNREADABLE, why=why)
        if found is not None:
            yield found


def _in_folder(folder: Path) -> FoundStudy | None:
    if lookup.database_of(folder):
        plan = lookup.find(str(folder))
        # A run that was refused before its first trial leaves an empty database.
        if not (folder / EVENTS).exists() and _is_empty(plan.location):
            return None
        stored = stored_study.read(plan)
        return FoundStudy(
            name=stored.plan.name,
            folder=folder,
            goal=stored.plan.spec.goal,
            state=stored.phase,
            running=stored.lease is not None and stored.lease.live,
        )
    about = last_study(folder / EVENTS)
    if not about:
        return None
    # A list must not wait for a server that may be gone.
    return FoundStudy(
        name=str(about.get("name", folder.name)),
        folder=folder,
        goal=str(about.get("goal", "")),
        state=ELSEWHERE,
        why=masked(str(about.get("storage", ""))),
    )


def _is_empty(location: StudyLocation) -> bool:
    with location.opened() as studies:
        return not studies.names
