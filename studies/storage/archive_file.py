"""One file with all files of a folder: ``.tar.gz``, whose first member lists them with hashes.

Nothing in such a file is trusted. Only plain files that the list names are taken from it, under
relative names without ``..``, and each must have the size and the SHA-256 of the list.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mnist_core.errors import UserError
from mnist_core.version import package_version

MANIFEST = "study-archive.json"
SUFFIX = ".tar.gz"
SCHEMA = 1

_CHUNK = 1 << 20
_LONGEST = 64 << 20
"""Bytes of the longest list that is read: that of some 300,000 files."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
"""Names that a study's folder may have."""


class ArchiveError(UserError):
    """An archive cannot be written or read."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file."""

    size: int  # bytes
    sha256: str
    modified: int  # nanoseconds since 1970


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an archive holds."""

    study: str  # the study's name in its storage
    folder: str  # the name of its folder
    storage: str  # where it was kept, without passwords; "": in the folder
    files: Mapping[str, Entry]  # by path in the folder, with ``/``
    folders: tuple[str, ...]  # also those without files
    written_by: str = ""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(entry.size for entry in self.files.values())


def entry_of(path: Path) -> Entry:
    """Return size, hash and time of the file ``path``; raise OSError if it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = os.fstat(file.fileno())
    return Entry(size=found.st_size, sha256=digest, modified=found.st_mtime_ns)


def write(manifest: Manifest, sources: Mapping[str, Path], target: Path) -> None:
    """Write the files ``sources``, by their paths in the archive, to the new file ``target``.

    Raises:
        ArchiveError: if a file is not as ``manifest`` has it any more, or cannot be read.
        OSError: if ``target`` cannot be written.
    """
    for name in (*manifest.files, *manifest.folders):
        if not is_inside(name):
            raise ArchiveError(f"a file cannot be archived under its name {name!r}; rename it")
    content = {**asdict(manifest), "schema": SCHEMA, "written_by": package_version()}
    text = json.dumps(content, indent=1).encode()
    with target.open("xb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo(MANIFEST)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
            for name, entry in manifest.files.items():
                _add(tar, name, entry, sources[name])
        raw.flush()
        os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, name: str, entry: Entry, source: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = entry.size, entry.modified // 10**9
    with source.open("rb") as file:
        reading = _Hashing(file)
        changed = os.fstat(file.fileno()).st_size != entry.size
        if not changed:
            tar.addfile(info, reading)
    if changed or reading.digest.hexdigest() != entry.sha256:
        raise ArchiveError(f"{source} was changed while it was archived; run the command again")


class _Hashing:
    """A file whose content is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def verify(path: Path) -> Manifest:
    """Read an archive and compare every file with its hash; return what it holds.

    Raises:
        ArchiveError: if it is damaged, or holds anything that its list does not name.
    """
    return _read(path, lambda _: contextlib.nullcontext(None))


def extract(path: Path, into: Callable[[Manifest], Path]) -> Manifest:
    """Write the files of an archive into a new folder; return what the archive holds.

    ``into`` returns that folder, which is made; a folder that is half filled is left there.

    Raises:
        ArchiveError: as ``verify``.
        OSError: if a file cannot be written.
    """
    place: list[Path] = []

    def begin(manifest: Manifest) -> None:
        folder = into(manifest)
        folder.mkdir(parents=True)
        for name in manifest.folders:
            (folder / name).mkdir(parents=True, exist_ok=True)
        place.append(folder)

    def opened(name: str) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        file = place[0] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("xb")

    manifest = _read(path, opened, begin)
    for name, entry in manifest.files.items():
        os.utime(place[0] / name, ns=(entry.modified, entry.modified))
    return manifest


def _read(
    path: Path,
    opened: Callable[[str], contextlib.AbstractContextManager[IO[bytes] | None]],
    begin: Callable[[Manifest], None] = lambda manifest: None,
) -> Manifest:
    with _readable(path), tarfile.open(path, mode="r|gz") as tar:
        members = iter(tar)
        manifest = _manifest(path, tar, next(members, None))
        begin(manifest)
        missing = dict(manifest.files)
        for member in members:
            entry = missing.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry.size:
                raise ArchiveError(f"{path}: holds {member.name!r}, which is not in its list")
            found = tar.extractfile(member)
            assert found is not None
            with opened(member.name) as file:
                digest = _copy(found, file)
            if digest != entry.sha256:
                raise ArchiveError(f"{path}: is damaged: {member.name} has another SHA-256")
    if missing:
        raise ArchiveError(f"{path}: is damaged: {next(iter(missing))} is missing")
    return manifest


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a file that is not an archive, or a damaged one, leads to into one line."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename not in (path, str(path)):
            raise
        raise ArchiveError(f"{path}: there is no such file") from None
    except gzip.BadGzipFile:
        raise ArchiveError(f"{path}: is not an archive of a study (not .tar.gz)") from None
    except (tarfile.TarError, zlib.error, EOFError) as error:
        said = " ".join(str(error).split())[:100]
        raise ArchiveError(f"{path}: is damaged, or is not an archive ({said})") from None


def _copy(source: IO[bytes], target: IO[bytes] | None) -> str:
    """Copy ``source`` and wait until it is on the disk; return its SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    if target is not None:
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _manifest(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    foreign = ArchiveError(f"{path}: is not an archive that `studies archive` wrote")
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > _LONGEST:
        raise foreign
    file = tar.extractfile(member)
    assert file is not None
    try:
        content: Any = json.loads(file.read())
        if content["schema"] != SCHEMA:
            raise ArchiveError(
                f"{path}: has the form {content['schema']}, not {SCHEMA}; read it with the version"
                f" that wrote it ({content.get('written_by')})"
            )
        manifest = Manifest(
            study=_text(content["study"]),
            folder=_text(content["folder"]),
            storage=_text(content["storage"]),
            files={
                name: Entry(
                    size=int(one["size"]),
                    sha256=_text(one["sha256"]),
                    modified=int(one["modified"]),
                )
                for name, one in content["files"].items()
            },
            folders=tuple(map(_text, content["folders"])),
            written_by=_text(content["written_by"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise foreign from None
    if not _NAME.fullmatch(manifest.folder):
        raise ArchiveError(f"{path}: {manifest.folder!r} cannot be the name of a study's folder")
    for name in (*manifest.files, *manifest.folders):
        if not is_inside(name):
            raise ArchiveError(f"{path}: {name!r} is not a path inside the study's folder")
    return manifest


def is_inside(name: str) -> bool:
    """Return whether ``name`` is the path of a file below a folder, on every system."""
    parts = PurePosixPath(name).parts
    odd = "\\" in name or "\0" in name or re.match("[A-Za-z]:", name)
    return bool(parts) and not odd and name == "/".join(parts) and not {"..", "/"} & set(parts)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value
