"""Says in words what a file is that was taken for a checkpoint. Nothing of it is executed."""

import json
from collections.abc import Mapping
from pathlib import Path

from mnist_core import parsing
from mnist_core.console.shell_words import program
from mnist_core.data import file_kinds
from mnist_core.files import check_regular

_BEGINNINGS = (
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save and torch.export write (.pt, .pth, .pt2): reading a .pt file"
        " may run code",
    ),
    (b"\x80", "a Python pickle, as torch.save wrote before 1.6 (.pt, .pth): reading one runs code"),
    (b"\x89HDF", "an HDF5 file, as Keras writes (.h5)"),
    (b"\x1f\x8b", "packed by gzip: unpack it first"),
    (b"<", "a web page or XML: the download went wrong"),
)
_ENDINGS = {".onnx": "an ONNX file, which is an export"}
_HEADER = 100 << 20  # bytes of a safetensors header at most, as the format has it
_LONGEST = 200  # characters of an error's text that are repeated


def unreadable(path: Path, error: Exception) -> str:
    """Return one line: what ``path`` is, and which files are read."""
    kind = _kind(path)
    if kind:
        keeps = f"`{program('mnist_core')} train` or a study keeps them"
        return f"{path}: is {kind}; only .safetensors files are read, as {keeps}"
    return f"{path}: cannot read the checkpoint: {_short(error)}"


def foreign(path: Path, error: Exception) -> str:
    """Return one line that says why the safetensors file ``path`` is not a checkpoint."""
    said = f"its metadata has no {error}" if isinstance(error, KeyError) else _short(error)
    said = said.removeprefix(f"{path}: ")
    return f"{path}: is not a checkpoint of this program: {said}"


def count(metadata: Mapping[str, str], name: str) -> int:
    """Return a whole number >= 1 of a checkpoint's metadata; raise KeyError or ValueError."""
    text = metadata[name]
    try:
        value = parsing.json_text(text)
    except ValueError as error:
        raise ValueError(f"{name} is not a number: {error}") from None
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number of 1 or more, but got {text[:40]!r}")
    return value


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _kind(path: Path) -> str:
    try:
        check_regular(path)  # to open a pipe may take for ever
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(file_kinds.HEAD_BYTES)
            length = int.from_bytes(head[:8], "little")
            header = file.read(length) if 8 < length < min(size, _HEADER) else b""
    except (OSError, ValueError):
        return ""
    if size == 0:
        return "empty"
    if path.suffix in _ENDINGS:
        return _ENDINGS[path.suffix]
    if head[8:9] == b"{":
        return _cut(head[8:] + header, length, size)
    begins = head.lstrip()
    named = (kind for beginning, kind in _BEGINNINGS if begins.startswith(beginning))
    return next(named, "") or file_kinds.describe(head)


def _cut(content: bytes, length: int, size: int) -> str:
    """Return a line if a safetensors file is shorter than its header says; else ""."""
    try:
        entries = json.loads(content[:length])
        ends = [one["data_offsets"][1] for name, one in entries.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        return "" if size >= 8 + length else f"cut off: it has {size:,} bytes of more"
    return f"cut off: it has {size:,} of {whole:,} bytes" if size < whole else ""
