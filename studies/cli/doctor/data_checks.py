"""Checks of data sets: the chosen one, and the hashes of all that are here."""

import time
from collections.abc import Iterator
from pathlib import Path

from mnist_core.config import DataConfig
from mnist_core.console.shell_words import command
from mnist_core.data import cifar_svhn_emnist, name_or_path, storage
from mnist_core.data.registry import DATA_SETS, FOLDER, DataSet, by_name
from mnist_core.errors import DataError
from studies.cli.doctor.finding import Finding, note, ok, problem

_SECONDS = 1.5
"""Time for the data sets that are not chosen; the rest is only named."""


def data_sets(
    data: DataConfig, *, needed: bool = True, seconds: float = _SECONDS
) -> Iterator[Finding]:
    """Yield whether the chosen data set is sound, then the others that are here.

    ``needed``: False if all studies of the project have an objective of their own.
    """
    if not needed:
        yield _not_needed(data)
        return
    try:
        yield _chosen(data)
    except DataError as error:
        remedy = "correct data.name or data.root"
        yield problem("data", _brief(str(error)), remedy, stops=True)
    yield from _others(data, seconds)


def _not_needed(data: DataConfig) -> Finding:
    text = "no study of this project uses [data]: each has an objective of its own"
    if data == DataConfig():
        return ok("data", text)
    try:
        return ok("data", f"{text}; {_chosen(data).text}")
    except DataError as error:
        remedy = "the studies of this package need it: correct data.name or data.root"
        return note("data", f"{text}; {_brief(str(error))}", remedy)


def _chosen(data: DataConfig) -> Finding:
    path = name_or_path.own_path(data)
    if path is not None:
        name_or_path.check_path(path, data.name)
        return ok("data", f"{data.name}: your own images are there; a run reads them at its start")
    known = name_or_path.archive_set(data)
    if known is not None:
        folder = name_or_path.folder_of_archives(data)
        if not all((folder / one.name).is_file() for one in known.archives):
            return _to_come(data.name)
        for one in known.archives:
            cifar_svhn_emnist.check_archive(one, folder / one.name)
        return ok("data", f"{data.name}: the hashes of its archives are the published ones")
    data_set = by_name(data.name)
    folder = storage.folder_of(data_set, data.root)
    missing = storage.missing(data_set, folder)
    if missing and storage.is_cache(data_set, folder):
        return _to_come(data.name)
    return _verified(data_set, folder, chosen=True)


def _to_come(name: str) -> Finding:
    remedy = f"{command('mnist_core', 'data', 'prepare', name)} does it now"
    return note("data", f"{name} is not here yet; the first run downloads it", remedy)


def _verified(data_set: DataSet, folder: Path, *, chosen: bool) -> Finding:
    name = data_set.name
    vouched = True
    try:
        for file in data_set.files:
            raw = storage.read_verified(data_set, file, folder)
            vouched = vouched and bool(storage.vouched(file, raw, folder))
    except DataError as error:
        again = command("mnist_core", "data", "prepare", name)
        remedy = f"{again} fetches it again" if data_set.mirrors else "put a sound copy there"
        return problem("data", _brief(str(error)), remedy, stops=chosen)
    if not vouched and name != FOLDER:
        return note("data", f"{name}: whole, but no hash of it is known")
    return ok("data", f"{name}: the hashes of its {len(data_set.files)} files are right")


def _others(data: DataConfig, seconds: float) -> Iterator[Finding]:
    start, good, left = time.monotonic(), [], []
    for name, data_set in DATA_SETS.items():
        if name in (FOLDER, data.name):
            continue
        folder = storage.folder_of(data_set)
        missing = len(storage.missing(data_set, folder))
        if missing == len(data_set.files):
            continue
        if missing or time.monotonic() - start > seconds:
            left.append(name)
            continue
        found = _verified(data_set, folder, chosen=False)
        if found.remedy or not found.text.endswith("right"):
            yield found
        else:
            good.append(name)
    if good:
        yield ok("data", f"also here, with the right hashes: {', '.join(good)}")
    if left:
        remedy = f"{command('mnist_core', 'data', 'verify')} does it"
        yield note("data", f"also here, not looked at: {', '.join(left)}", remedy)


def _brief(text: str) -> str:
    """Return an error's text without the list of all valid names."""
    return text.partition(" (valid:")[0]
