"""A study that has been run, found by its name or its folder: what commands that look need.

A name is looked for where ``results.folder`` and ``storage.url`` say. A study that is kept
elsewhere is found where its folder's event log says.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError, UserError, unknown_name
from mnist_core.table import parse_assignment
from studies import catalog
from studies.core import study_names
from studies.core.attributes import CONFIRM, IDENTITY
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import last_study
from studies.core.redaction import masked
from studies.planning import plan
from studies.planning.layers import settings_of
from studies.planning.layout import results_folder
from studies.planning.plan import Plan, storage_url_of
from studies.planning.recorded import Now, contradictions, recorded_plan
from studies.planning.settings import SET, Settings
from studies.storage.belonging import check_owner, owner
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.url import journal_url, shown, storage_file, with_file

DATABASE = "study.db"
_HIDDEN = "***"  # stands for a password, see ``masked``
_JOURNAL = b'{"op_code"'  # start of each line of an Optuna journal


def find(
    study: str,
    *,
    conf: Path | None = None,
    assignments: list[str] | None = None,
    sets: Mapping[str, Any] | None = None,
    quick: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Plan:
    """Return the plan that a study was last run with; of none, the plan that would be run now.

    Args:
        study: its name, e.g. ``optim_search`` or ``optim_search-quick-wide``, or its folder, e.g.
            ``results/cuda/optim_search`` or ``results/optim_search.20261121-101500``.
        conf: read instead of ``conf.toml``.
        assignments: ``KEY=VALUE`` of a command line; only places and trackers matter.
        sets: more settings, by dotted name.
        quick: the study's small run; needless for a folder.
        say: gets a line about given settings that differ from those of the study.

    Raises:
        UserError: if there is no such folder, a setting is wrong, or the storage cannot be read.
    """
    try:
        given = dict(sets or {}) | dict(parse_assignment(text) for text in assignments or [])
        return _Lookup(conf, given, quick).find(study, say)
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None


def name_of(study: str, *, quick: bool) -> str | None:
    """Return the name in the storage of what the command line calls ``study``; None: a folder.

    The name of a study in the catalog is a name even if the working directory has such a folder;
    the name of a fork is not.
    """
    known = catalog.names()
    base = _base(study)
    if study not in known and (base not in known or Path(study).is_dir() or os.sep in study):
        return None
    small, fork = study_names.parts(study, base)
    return study_names.full(base, quick=quick or small, fork=fork)


@dataclass(frozen=True)
class _Lookup:
    conf: Path | None
    sets: Mapping[str, Any]
    quick: bool

    def find(self, study: str, say: Callable[[str], object]) -> Plan:
        name = name_of(study, quick=self.quick)
        now = self._of_folder(study) if name is None else self._now(name)
        for place in _places(now, by_folder=name is None):
            found = _recorded(place, name)
            if found is not None:
                if different := contradictions(found.settings, now):
                    say(f"study {found.name} is shown as it was run: {different} as --set says")
                return found
        folder, url = now.location.folder, now.location.url or database_of(now.location.folder)
        if not _given(now) and (logged := _logged(folder)) and logged != url:
            raise _not_there(folder, logged)
        if not url and (name is None or (folder / EVENTS).is_file()):
            raise _no_database(folder)
        now = _at(now, url=url or storage_url_of(now.settings, folder))
        # A run would be refused as well, so "run it first" would be the wrong advice.
        check_owner(folder, "", shown(now.location.url))
        return self._not_run(name or _name_in(folder), now.location)

    def _of_folder(self, said: str) -> Now:
        folder = Path(said).absolute()
        now = self._now(_name_in(folder))
        if os.sep not in said and not folder.is_dir():
            # The name of a folder in results.folder: moved aside, or not in the catalog.
            folder = now.location.folder.parent / said
            if not folder.is_dir():
                raise UserError(f"{_unknown(said)} (no folder has this name either)")
        return _at(now, folder=folder)

    def _now(self, name: str) -> Now:
        """Return the settings for study ``name``; the URL is ``storage.url``, or ""."""
        base, spec = _base(name), None
        small, _ = study_names.parts(name, base)
        with contextlib.suppress(ConfigError):  # missing or broken: the record is enough
            spec = catalog.get(base)
        settings, origins = settings_of(
            base, spec, conf=self.conf, sets=self.sets, quick=self.quick or small
        )
        folder = results_folder(settings.results.folder) / name
        url = storage_url_of(settings, folder) if settings.storage.url else ""
        return Now(settings=settings, origins=origins, location=StudyLocation(name, folder, url))

    def _not_run(self, name: str, location: StudyLocation) -> Plan:
        """Return what would be run now under ``name`` where no study was found."""
        base = _base(name)
        small, fork = study_names.parts(name, base)
        made = plan.resolve(
            study_names.full(base, fork=fork),
            conf=self.conf,
            sets=self.sets,
            quick=self.quick or small,
        )
        return replace(made, folder=location.folder, storage_url=location.url)


def database_of(folder: Path) -> str:
    """Return the storage URL of the study in ``folder``, or ""; raise UserError for several."""
    if (folder / DATABASE).exists():
        return storage_url_of(Settings(), folder)
    files: list[Path] = []
    with contextlib.suppress(OSError):
        files = sorted(file for file in folder.iterdir() if file.is_file())
    journals = [file for file in files if _is_journal(file)]
    if len(journals) > 1:
        names = ", ".join(file.name for file in journals)
        raise UserError(
            f"{folder}: holds several journals ({names}); choose one by"
            " --set storage.url=journal:///FILE"
        )
    return journal_url(journals[0]) if journals else ""


def _places(now: Now, *, by_folder: bool) -> Iterator[Now]:
    """Yield ``now`` with each URL at which the study may be kept, the likeliest first."""
    folder, url = now.location.folder, now.location.url
    if url and not by_folder:
        yield now
    if _given(now) and not by_folder:
        return
    # A folder's own database comes before storage.url if the folder was named, not the study.
    if own := database_of(folder):
        yield _at(now, url=own)
    if _given(now):
        yield now
        return
    # Before a storage.url of conf.toml, which may be of other studies.
    logged = _logged(folder)
    if logged and _HIDDEN not in logged:
        yield _at(now, url=logged)
    if url and by_folder:
        yield now


def _given(now: Now) -> bool:
    return now.origins.get("storage.url") == SET


def _logged(folder: Path) -> str:
    """Return the storage URL, without passwords, that the event log in ``folder`` names; or ""."""
    url: Any = ""
    with contextlib.suppress(OSError):
        if (folder / EVENTS).is_file():
            url = last_study(folder / EVENTS).get("storage", "")
    if not isinstance(url, str) or not url:
        return ""
    file = storage_file(url)
    # A folder that was moved has taken with it what lay in it.
    inside = None if file is None else folder / file.name
    return with_file(url, inside) if inside is not None and inside.is_file() else url


def _is_journal(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_JOURNAL)) == _JOURNAL
    except OSError:
        return False


def _unknown(name: str) -> str:
    """Return why there is no study ``name``: it is unknown, or its file is broken."""
    try:
        catalog.get(name)
    except ConfigError as error:
        return str(error)
    return unknown_name("study", name, catalog.names())


def _base(name: str) -> str:
    """Return the study that ``name``, which may be of a fork or small run, belongs to."""
    return name if name in catalog.names() else name.partition("-")[0]


def _name_in(folder: Path) -> str:
    """Return the name of the study in ``folder``, which --fresh may have moved to <name>.<time>."""
    return folder.resolve().name.partition(".")[0]


def _at(now: Now, **places: Any) -> Now:
    return replace(now, location=replace(now.location, **places))


def _no_database(folder: Path) -> UserError:
    ran = (folder / EVENTS).is_file()
    what = "holds no" if ran else "is not the folder of a study, which holds a"
    return UserError(
        f"{folder}: {what} {DATABASE} or a journal; if the study is kept elsewhere, say where by"
        " --set storage.url=URL" + ("" if ran else "; or name another study or folder")
    )


def _not_there(folder: Path, logged: str) -> UserError:
    said = f"{folder}: its study is kept in {shown(logged)}"
    if _HIDDEN in logged:
        return UserError(
            f"{said}, and no password is kept: add --set storage.url={logged} with the password in"
            f" place of {_HIDDEN}"
        )
    return UserError(
        f"{said}, which does not hold it any more: put it back, or say where it is by"
        " --set storage.url=URL"
    )


def _recorded(now: Now, name: str | None) -> Plan | None:
    """Return the recorded plan of study ``name``, by default the folder's; None: there is none."""
    with now.location.opened() as studies:
        if studies.storage is None:
            return None
        name = study_in_folder(studies) if name is None else name
        attributes = studies.attributes(name)
        return None if attributes is None else recorded_plan(attributes, _placed(now, name))


def study_in_folder(studies: OpenedStudies) -> str:
    """Return which of ``studies`` belongs to their folder; "": another storage holds it.

    Raises:
        UserError: if several may.
    """
    # A folder may be from another machine, renamed, or moved aside by --fresh: what it holds
    # counts, not its name.
    folder = studies.location.folder
    searches = sorted(name for name in studies.names if not name.endswith(CONFIRM))
    called, identity = _name_in(folder), owner(folder)
    for name in sorted(searches, key=called.__ne__) if identity else ():
        if (studies.attributes(name) or {}).get(IDENTITY) == identity:
            return name
    if identity and studies.location.url != database_of(folder):
        return ""
    if called in searches or not searches:
        return called
    if len(searches) > 1:
        raise UserError(
            f"{folder}: its storage holds several studies ({', '.join(searches)}), and"
            " none has the folder's name; name one, with --set storage.url=URL"
        )
    return searches[0]


def _placed(now: Now, name: str) -> Now:
    """Return ``now`` with the settings of places that make a run find the study where it is."""
    changes: dict[str, Any] = {}
    folder, url = now.location.folder, now.location.url
    usual = results_folder(now.settings.results.folder) / name
    if folder.name == name and folder.resolve() != usual.resolve():
        changes["results.folder"] = str(folder.parent)
    if storage_url_of(now.settings, folder) != url:
        in_folder = storage_url_of(Settings(), folder) == url
        changes["storage.url"] = "" if in_folder else url
    return Now(
        settings=now.settings.override(changes),
        origins={**now.origins, **dict.fromkeys(changes, SET)},
        location=replace(now.location, name=name),
    )
