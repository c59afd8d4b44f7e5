"""A study that has been run, by its name or by its folder: what all commands that look at one need.

Its settings come from its storage, see ``studies/planning/recorded.py``. A name is looked for where
``results.folder`` and ``storage.url`` say. A folder may be another machine's, renamed, or moved
aside by ``--fresh``: what it holds counts, not what it is called.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError, UserError, unknown_name
from mnist_core.table import parse_assignment
from studies import catalog
from studies.core import study_names
from studies.core.event_log import FILE as EVENTS
from studies.core.redaction import masked
from studies.planning import machine, plan
from studies.planning.layers import settings_of
from studies.planning.plan import Plan, storage_url_of
from studies.planning.recorded import Now, contradictions, recorded_plan
from studies.planning.settings import SET, Settings
from studies.storage.url import journal_url

DATABASE = "study.db"
_JOURNAL = b'{"op_code"'
"""How each line of an Optuna journal begins."""


def find(
    study: str,
    *,
    conf: Path | None = None,
    assignments: list[str] | None = None,
    sets: Mapping[str, Any] | None = None,
    quick: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Plan:
    """Return the plan of a study as it was last run.

    Where there is no such study yet, or one of another program, the plan is what would be run now.

    Args:
        study: its name, e.g. ``optim_search`` or ``optim_search-quick-wide``, or the folder that it
            left, e.g. ``results/cuda/optim_search`` or ``results/optim_search.20261121-101500``.
        conf: another file than ``conf.toml``.
        assignments: ``KEY=VALUE`` of a command line; places and trackers count.
        sets: dotted settings besides those.
        quick: the study's small run; a folder says so itself.
        say: gets a line about given settings that are not those of the study.

    Raises:
        UserError: there is no such folder, a setting is wrong, or the storage cannot be read.
    """
    try:
        given = dict(sets or {}) | dict(parse_assignment(text) for text in assignments or [])
        name = name_of(study, quick=quick)
        if name is not None:
            now = _of_name(name, conf=conf, sets=given, quick=quick)
            found = _recorded(now, name)
        else:
            now = _of_folder(study, conf=conf, sets=given, quick=quick)
            found = _recorded(now, None)
        if found is not None:
            different = contradictions(found, now)
            if different:
                say(f"study {found.name} is shown as it was run: {different} as --set says")
            return found
        name = name or now.folder.resolve().name.partition(".")[0]
        return _not_run(name, now, conf=conf, sets=given, quick=quick)
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None


def database_of(folder: Path) -> str:
    """Return the storage URL of the study that is kept in ``folder``; "" where there is none.

    Raises:
        UserError: if it holds several journals.
    """
    if (folder / DATABASE).exists():
        return storage_url_of(Settings(), folder)
    journals = [file for file in _files(folder) if _is_journal(file)]
    if len(journals) > 1:
        names = ", ".join(file.name for file in journals)
        raise UserError(
            f"{folder}: holds several journals ({names}); say which by --set storage.url=journal:///FILE"
        )
    return journal_url(journals[0]) if journals else ""


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.is_file())
    except OSError:
        return []


def _is_journal(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_JOURNAL)) == _JOURNAL
    except OSError:
        return False


def name_of(study: str, *, quick: bool) -> str | None:
    """Return the name in the storage of what the command line calls ``study``; None: a folder.

    The name of a study in the catalog, or of a fork of one, is a name even where a folder of the
    working directory is called so, but for that of a fork.
    """
    known = catalog.names()
    base = _base(study)
    if study not in known and (base not in known or Path(study).is_dir() or os.sep in study):
        return None
    small, fork = study_names.parts(study, base)
    return study_names.full(base, quick=quick or small, fork=fork)


def _base(name: str) -> str:
    """Return the study that ``name``, which may be that of a fork or small run, belongs to."""
    return name if name in catalog.names() else name.partition("-")[0]


def _of_name(name: str, *, conf: Path | None, sets: Mapping[str, Any], quick: bool) -> Now:
    now = _now(name, conf=conf, sets=sets, quick=quick)
    if now.storage_url:
        return now
    url = database_of(now.folder)
    if not url and (now.folder / EVENTS).is_file():
        raise _no_database(now.folder)
    return dataclasses.replace(now, storage_url=url or storage_url_of(now.settings, now.folder))


def _of_folder(said: str, *, conf: Path | None, sets: Mapping[str, Any], quick: bool) -> Now:
    folder = Path(said).absolute()
    # --fresh moves the folder of an earlier run to <name>.<time>.
    name = folder.resolve().name.partition(".")[0]
    now = _now(name, conf=conf, sets=sets, quick=quick)
    if os.sep not in said and not folder.is_dir():
        # The name of a folder in results.folder: one moved aside, or of a study not in the catalog.
        named = now.folder.parent / said
        if not named.is_dir():
            known = unknown_name("study", said, catalog.names())
            raise UserError(f"{known}, and there is no folder")
        folder = named
    url = database_of(folder) or now.storage_url
    if not url:
        raise _no_database(folder)
    return dataclasses.replace(now, folder=folder, storage_url=url)


def _no_database(folder: Path) -> UserError:
    ran = (folder / EVENTS).is_file()
    what = "holds no" if ran else "is no folder of a study, which holds a"
    return UserError(
        f"{folder}: {what} {DATABASE} or a journal; if the study is kept elsewhere, say where by"
        " --set storage.url=URL" + ("" if ran else "; or name another study or folder")
    )


def _now(name: str, *, conf: Path | None, sets: Mapping[str, Any], quick: bool) -> Now:
    """Return what is said now of study ``name``; its storage is ``storage.url``, or ""."""
    base, spec = _base(name), None
    small, _ = study_names.parts(name, base)
    with contextlib.suppress(ConfigError):  # not here, or broken: what was recorded says enough
        spec = catalog.get(base)
    settings, origins = settings_of(base, spec, conf=conf, sets=sets, quick=quick or small)
    folder = machine.results_folder(settings.results.folder) / name
    return Now(
        settings=settings,
        origins=origins,
        folder=folder,
        storage_url=storage_url_of(settings, folder) if settings.storage.url else "",
        spec=spec,
    )


def _recorded(now: Now, name: str | None) -> Plan | None:
    """Return the recorded plan of a study; None: there is none.

    Args:
        now: says where.
        name: of the study; None: that of the folder.
    """
    import optuna

    from studies.storage import open as opening
    from studies.storage.url import NoStudies

    url = now.storage_url
    try:
        storage = opening.open_storage(url, create=False)
    except NoStudies:
        return None
    try:
        with opening.one_line_errors(url), opening.one_line_garbage(url):
            names = optuna.get_all_study_names(storage)
            name = _in_folder(names, now) if name is None else name
            if name not in names:
                return None
            attributes = opening.load_study(name, storage).user_attrs
            return recorded_plan(name, attributes, _placed(now, name))
    finally:
        opening.close_storage(storage)


def _in_folder(names: Collection[str], now: Now) -> str:
    """Return which of the studies ``names`` a folder is that of."""
    from studies.core.attributes import CONFIRM

    searches = [name for name in names if not name.endswith(CONFIRM)]
    called = now.folder.resolve().name.partition(".")[0]
    if called in searches or not searches:
        return called
    if len(searches) > 1:
        raise UserError(
            f"{now.folder}: its storage holds several studies ({', '.join(sorted(searches))}), and"
            " none is called as the folder is; name one, with --set storage.url=URL"
        )
    return searches[0]


def _placed(now: Now, name: str) -> Now:
    """Return ``now`` with the settings of places under which a run finds the study where it is."""
    changes: dict[str, Any] = {}
    usual = machine.results_folder(now.settings.results.folder) / name
    if now.folder.name == name and now.folder.resolve() != usual.resolve():
        changes["results.folder"] = str(now.folder.parent)
    if storage_url_of(now.settings, now.folder) != now.storage_url:
        in_folder = storage_url_of(Settings(), now.folder) == now.storage_url
        changes["storage.url"] = "" if in_folder else now.storage_url
    settings = now.settings.override(changes)
    return dataclasses.replace(
        now, settings=settings, origins={**now.origins, **dict.fromkeys(changes, SET)}
    )


def _not_run(
    name: str, now: Now, *, conf: Path | None, sets: Mapping[str, Any], quick: bool
) -> Plan:
    """Return what would be run now under the name and at the place where no study was found."""
    base = _base(name)
    small, fork = study_names.parts(name, base)
    made = plan.resolve(
        study_names.full(base, fork=fork), conf=conf, sets=sets, quick=quick or small
    )
    return dataclasses.replace(made, folder=now.folder, storage_url=now.storage_url)
