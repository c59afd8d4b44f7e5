"""Moving a study between storages without loss: all its phases, trials and attributes.

A copy is there as a whole or not at all, whenever the process or the machine dies: in a database it
is one transaction, a journal is written anew beside the old one and put in its place. Before that,
it is read back and compared with the source, which is read once more, too: nobody may have changed
it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from mnist_core.errors import UserError
from studies.core.attributes import LEASE
from studies.storage.contents import Content, difference, read_content
from studies.storage.journal import with_names
from studies.storage.open import (
    Journal,
    Storage,
    StorageError,
    close_storage,
    one_line_errors,
    one_line_garbage,
    open_storage,
    shown,
    storage_file,
)
from studies.storage.optuna_internals import load_study, tables, tables_known
from studies.storage.rows import attribute_rows, insert_trials
from studies.storage.sql import SqlStorage, reason
from studies.storage.url import journal_url


class CopyError(UserError):
    """A study cannot be copied; the target is as it was."""


def copy_study(name: str, *, source: str, target: str) -> list[Content]:
    """Copy study ``name``, and its phases ``<name>.<phase>``, to another storage.

    Args:
        name: of the search, as ``Plan.name``.
        source: URL of the storage that holds it.
        target: URL of the storage that it goes to; made where there is none.

    Returns:
        What was copied, the search first.

    Raises:
        CopyError: there is no such study, it is being run, the target holds one of that name, or
            the copy is not the same. The target is left as it was.
        StorageError: a storage cannot be used.
    """
    if _same(source, target):
        raise CopyError(f"--to: {shown(target)} is the storage that the study is in")
    contents = _read(name, source)
    _write(contents, target, source)
    return contents


def write_studies(
    contents: Sequence[Content], target: str, *, renamed: Mapping[str, str] | None = None
) -> None:
    """Write studies that no storage holds yet, all of them or none.

    Args:
        contents: what is written, the search first.
        target: URL of the storage that it goes to; made where there is none.
        renamed: studies that are there get other names in the same step: new names by old ones.

    Raises:
        CopyError: the target holds one of that name, or what was written cannot be read back.
        StorageError: the storage cannot be used.
    """
    _write(contents, target, None, renamed or {})


def _write(
    contents: Sequence[Content],
    target: str,
    source: str | None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write ``contents``, which are those of ``source``; None: of no storage."""
    fresh = not _exists(storage_file(target))
    try:
        storage = open_storage(target, create=True)
        try:
            with one_line_errors(target):
                if isinstance(storage, Journal):
                    _write_journal(storage, contents, source, renamed)
                else:
                    _write_sql(storage, contents, source, renamed)
        finally:
            close_storage(storage)
    except BaseException:
        if fresh:
            _remove(storage_file(target))
        raise


def _read(name: str, url: str) -> list[Content]:
    """Read all phases of study ``name`` from ``url``.

    Raises:
        CopyError: there is none, or it is being run.
    """
    import optuna

    from studies.storage import leases

    storage = open_storage(url, create=False)
    try:
        with one_line_errors(url), one_line_garbage(url):
            names = [n for n in optuna.get_all_study_names(storage) if _is_of(name, n)]
            if name not in names:
                raise CopyError(f"there is no study {name!r} in {shown(url)}")
            holder = leases.supervisor(load_study(name, storage))
            if holder is not None:
                raise CopyError(
                    f"study {name!r} is being run by process {holder.pid} on {holder.host}; stop it"
                    " before you copy it"
                )
            return [read_content(storage, found) for found in sorted(names)]
    finally:
        close_storage(storage)


def _write_sql(
    storage: SqlStorage,
    contents: Sequence[Content],
    source: str | None,
    renamed: Mapping[str, str],
) -> None:
    """Write ``contents`` in one transaction, which ends well only if they can be read back."""
    if not tables_known():
        _write_with_optuna(storage, contents, source, renamed)
        return
    studies = tables().studies
    try:
        with storage.engine.begin() as connection:
            for old, new in renamed.items():
                connection.execute(
                    sqlalchemy.update(studies)
                    .where(studies.c.study_name == old)
                    .values(study_name=new)
                )
            _refuse_existing(storage, contents, _names(connection))
            identities = [_insert(connection, content) for content in contents]
            copies = [
                _inserted(storage, connection, identity, content.name)
                for identity, content in zip(identities, contents, strict=True)
            ]
            _check(contents, copies, source, storage)
    except IntegrityError as error:
        _refuse_existing(storage, contents, {content.name for content in contents})
        raise CopyError(f"{shown(storage.url)}: {reason(error)}; nothing was written") from None


def _insert(connection: Connection, content: Content) -> int:
    known = tables()
    identity = connection.scalars(
        sqlalchemy.insert(known.studies).returning(known.studies.c.study_id),
        [{"study_name": content.name}],
    ).one()
    directions = [{"direction": d, "objective": n} for n, d in enumerate(content.directions)]
    for table, rows in (
        (known.study_directions, directions),
        (known.study_user_attributes, attribute_rows(content.user_attrs)),
        (known.study_system_attributes, attribute_rows(content.system_attrs)),
    ):
        if rows:
            connection.execute(
                sqlalchemy.insert(table), [{"study_id": identity, **row} for row in rows]
            )
    insert_trials(connection, identity, content.trials)
    return int(identity)


def _inserted(storage: SqlStorage, connection: Connection, identity: int, name: str) -> Content:
    """Read a study within the transaction that wrote it."""

    def rows(table: sqlalchemy.Table) -> list[Any]:
        query = sqlalchemy.select(table).where(table.c.study_id == identity)
        return list(connection.execute(query))

    known = tables()
    directions = sorted(rows(known.study_directions), key=lambda row: row.objective)
    trials = storage.trials_in(connection, identity)
    return Content(
        name=name,
        directions=[row.direction for row in directions],
        user_attrs=_attributes(rows(known.study_user_attributes)),
        system_attrs=_attributes(rows(known.study_system_attributes)),
        trials=sorted(trials, key=lambda trial: trial.number),
    )


def _attributes(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.key: json.loads(row.value_json) for row in rows}


def _names(connection: Connection) -> set[str]:
    return set(connection.scalars(sqlalchemy.select(tables().studies.c.study_name)))


def _write_with_optuna(
    storage: Storage,
    contents: Sequence[Content],
    source: str | None,
    renamed: Mapping[str, str],
) -> None:
    """Write ``contents`` by Optuna's public calls, a trial at a time.

    Studies get their new names as copies, which are whole before the old ones are deleted. What was
    written is deleted if it cannot be read back; if this process is killed, it stays.
    """
    names = {study.study_name for study in storage.get_all_studies()}
    _refuse_existing(storage, contents, names - renamed.keys())
    made: list[int] = []

    def copied(content: Content) -> Content:
        made.append(_append(storage, content))
        return read_content(storage, content.name)

    try:
        for old, new in renamed.items():
            moved = replace(read_content(storage, old), name=new)
            _check([moved], [copied(moved)], None, storage)
        olds = [storage.get_study_id_from_name(old) for old in renamed]
        for identity in olds:
            storage.delete_study(identity)
        made.clear()
        _check(contents, [copied(content) for content in contents], source, storage)
    except BaseException:
        for identity in made:
            storage.delete_study(identity)
        raise


def replace_in_journal(storage: Journal, content: Content) -> None:
    """Write ``content`` in the place of the study of its name, as a whole or not at all.

    Raises:
        CopyError: what was written cannot be read back.
        StorageError: the file cannot be written.
    """
    _write_journal(storage, [content], None, {}, in_place=True)


def _write_journal(
    storage: Journal,
    contents: Sequence[Content],
    source: str | None,
    renamed: Mapping[str, str],
    *,
    in_place: bool = False,
) -> None:
    """Write the journal with ``contents`` at its end to a new file, and put that in its place."""
    path = storage.file.path
    part = path.with_name(f"{path.name}.copying")
    with storage.file.locked() as descriptor, _file_errors(part):
        try:
            with part.open("wb") as file, os.fdopen(os.dup(descriptor), "rb") as old:
                old.seek(0)
                lines = old.read()
                file.write(with_names(lines[: lines.rfind(b"\n") + 1], renamed))
            copy = Journal(journal_url(part), part)
            copy.file.durable = False
            there = {study.study_name for study in copy.get_all_studies()}
            if not in_place:
                _refuse_existing(storage, contents, there)
            for content in contents:
                lease = _delete(copy, content.name) if content.name in there else None
                identity = _append(copy, content)
                if lease is not None:
                    copy.set_study_user_attr(identity, LEASE, lease)
            again = Journal(journal_url(part), part)
            copies = [read_content(again, content.name) for content in contents]
            _check(contents, copies, source, storage)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _delete(journal: Journal, name: str) -> Any:
    """Remove study ``name``; return its lease, which no ``Content`` holds."""
    identity = journal.get_study_id_from_name(name)
    lease = journal.get_study_user_attrs(identity).get(LEASE)
    journal.delete_study(identity)
    return lease


def _append(storage: Storage, content: Content) -> int:
    identity = storage.create_new_study(content.directions, content.name)
    for key, value in content.user_attrs.items():
        storage.set_study_user_attr(identity, key, value)
    for key, value in content.system_attrs.items():
        storage.set_study_system_attr(identity, key, value)
    for trial in content.trials:
        storage.create_new_trial(identity, trial)
    return identity


def _check(
    contents: Sequence[Content], copies: Sequence[Content], source: str | None, target: Storage
) -> None:
    for content, copy in zip(contents, copies, strict=True):
        found = difference(content, copy)
        if found:
            raise CopyError(
                f"{shown(target.url)} does not hold what was written to it ({found}); nothing was"
                " copied"
            )
    if source is None:
        return
    again = _read(contents[0].name, source)
    changed = len(again) != len(contents) or any(map(difference, contents, again))
    if changed:
        raise CopyError(
            f"study {contents[0].name!r} in {shown(source)} was changed while it was copied;"
            " nothing was copied: run the same command again"
        )


def _refuse_existing(storage: Storage, contents: Sequence[Content], names: set[str]) -> None:
    for content in contents:
        if content.name in names:
            raise CopyError(
                f"{shown(storage.url)} holds a study {content.name!r} already; nothing is written"
                " over: choose another storage"
            )


def _is_of(name: str, other: str) -> bool:
    return other == name or other.startswith(f"{name}.")


def _same(one: str, other: str) -> bool:
    first, second = storage_file(one), storage_file(other)
    if first is None or second is None:
        return one == other
    return first.resolve() == second.resolve()


def _exists(path: Path | None) -> bool:
    return path is None or path.exists()


def _remove(path: Path | None) -> None:
    """Remove a storage that was made for a copy that came to nothing."""
    if path is not None:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}; nothing was copied") from None
