"""Copies a study between storages without loss: all its phases, trials and attributes.

A copy is there as a whole or not at all, whenever the process or the machine dies.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import optuna

from mnist_core.files import discard
from studies.storage import leases
from studies.storage.base import Content, StudyWrite
from studies.storage.contents import check_same, difference, read_content
from studies.storage.errors import CopyError
from studies.storage.open import (
    load_study,
    one_line_errors,
    one_line_garbage,
    open_storage,
    shown,
    storage_file,
)

__all__ = ["CopyError", "copy_study", "write_studies"]


def copy_study(name: str, *, source: str, target: str) -> list[Content]:
    """Copy study ``name``, and its phases ``<name>.<phase>``; return the copies, the search first.

    ``source`` and ``target`` are URLs of storages; the target is made if there is none.

    Raises:
        CopyError: if there is no such study, it is being run, the target holds one of that name, or
            the copy is not the same. The target is left as it was.
        StorageError: if a storage cannot be used.
    """
    if _same_storage(source, target):
        raise CopyError(f"--to: {shown(target)} is the storage that the study is in")
    contents = _read(name, source)
    _write(contents, target, {}, source)
    return contents


def write_studies(
    contents: Sequence[Content], target: str, *, renamed: Mapping[str, str] | None = None
) -> None:
    """Write new studies, the search first, to the storage at URL ``target``: all of them or none.

    ``renamed`` are stored studies that get other names in the same step: new names by old ones.

    Raises:
        CopyError: if the target holds a study of that name, or what was written cannot be read
            back.
        StorageError: if the storage cannot be used.
    """
    _write(contents, target, renamed or {}, None)


def _write(
    contents: Sequence[Content], target: str, renamed: Mapping[str, str], source: str | None
) -> None:
    """Write ``contents``, which must still be those of ``source``, if there is one."""
    file = storage_file(target)
    fresh = file is not None and not file.exists()

    def refuse(names: Collection[str]) -> None:
        for content in contents:
            if content.name in names:
                raise CopyError(
                    f"{shown(target)} holds a study {content.name!r} already, which is not written"
                    " over; choose another storage"
                )

    def check(copies: Sequence[Content]) -> None:
        check_same(contents, copies, shown(target))
        if source is not None:
            # Reading takes seconds: another program may have written to the source meanwhile.
            _check_unchanged(contents, source)

    try:
        storage = open_storage(target, create=True)
        try:
            with one_line_errors(target):
                new = StudyWrite(contents=contents, renamed=renamed, refuse=refuse, check=check)
                storage.write(new)
        finally:
            storage.close()
    except BaseException:
        if fresh and file is not None:
            _remove(file)
        raise


def _read(name: str, url: str) -> list[Content]:
    """Read all phases of study ``name``; raise CopyError if there is none, or it is being run."""
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
        storage.close()


def _check_unchanged(contents: Sequence[Content], source: str) -> None:
    name = contents[0].name
    again = _read(name, source)
    if len(again) != len(contents) or any(map(difference, contents, again)):
        raise CopyError(
            f"study {name!r} in {shown(source)} was changed while it was copied; nothing was"
            " copied: run the same command again"
        )


def _is_of(name: str, other: str) -> bool:
    return other == name or other.startswith(f"{name}.")


def _same_storage(one: str, other: str) -> bool:
    first, second = storage_file(one), storage_file(other)
    if first is None or second is None:
        return one == other
    return first.resolve() == second.resolve()


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        discard(path.with_name(name))
