"""What a file is that is not an IDX file, in words, and what to do about it."""

from pathlib import Path
from typing import Final

HEAD_BYTES: Final = 512
"""Bytes of a file that tell what it is; the mark of a tar archive comes last."""

READ: Final = "read are IDX files as MNIST's, plain or gzip"

_PAGE = "an HTML page, as of a download that was refused"
_STARTS: Final = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"\x1f\x8b", "compressed with gzip twice; unpack it once"),
    (b"BZh", "compressed with bzip2; unpack it"),
    (b"\xfd7zXZ\x00", "compressed with xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; `git lfs pull` gets it"),
)
_ZIPPED: Final = (
    (b".npy", "NumPy arrays in a zip archive (.npz)"),
    (b"data.pkl", "a file of torch.save (.pt)"),
    (b"", "a zip archive; unpack it"),
)
_IDX_KINDS: Final = {1: "labels", 3: "images"}


def describe(head: bytes) -> str:
    """Return what a file is by its first ``HEAD_BYTES``, e.g. ``an HTML page``; "": not known."""
    if not head:
        return "empty"
    for start, words in _STARTS:
        if head.startswith(start):
            return words
    if head.startswith(b"PK\x03\x04"):
        return next(words for mark, words in _ZIPPED if mark in head)
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        return "a Python pickle"
    if head[:3] == b"\x00\x00\x08" and head[3:4] in (b"\x01", b"\x03"):
        return f"an IDX file of {_IDX_KINDS[head[3]]}"
    return _text(head)


def describe_folder(folder: Path) -> str:
    """Return what a folder holds, e.g. ``pictures in 10 folders``; empty: nothing."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    inner = [path for path in entries if path.is_dir()]
    if inner and any(path.suffix.lower() in PICTURES for path in _some(inner[0])):
        return f"pictures in {len(inner)} folder{'s' if len(inner) != 1 else ''}"
    if any(path.suffix.lower() in PICTURES for path in entries):
        return "pictures, but in no folder of a class, as cats/ and dogs/"
    ends = sorted({path.suffix for folder in inner[:3] for path in _some(folder) if path.suffix})
    if ends:
        return f"folders with files {', '.join(ends[:3])}; pictures are {' '.join(PICTURES)}"
    named = [path.name for path in entries[:3]]
    more = " …" if len(entries) > 3 else ""
    return ", ".join(named) + more if named else ""


PICTURES: Final = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
)
"""Ends of names of pictures, in small letters."""


def _some(folder: Path) -> list[Path]:
    try:
        return [path for path, _ in zip(folder.iterdir(), range(20), strict=False)]
    except OSError:
        return []


def _text(head: bytes) -> str:
    try:
        text = head[: len(head) - 4 if len(head) >= HEAD_BYTES else None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    if any(not (char.isprintable() or char in "\r\n\t") for char in text):
        return ""
    start = text.lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<head", "<body")):
        return _PAGE
    if start.startswith("<"):
        return "an XML or HTML page"
    if start.startswith(("{", "[")):
        return "JSON text"
    line = text.lstrip().split("\n")[0]
    if max(line.count(mark) for mark in ",;\t") >= 2:
        return "a table of text (CSV)"
    return "text"
