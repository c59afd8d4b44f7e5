"""Says in words what a file is that was taken for a checkpoint. Nothing of it is executed."""

from pathlib import Path

from mnist_core.files import check_regular

_READ = "; only .safetensors files are read, as `python -m mnist_core train` or a study keeps them"
_BEGINNINGS = (
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save and torch.export write (.pt, .pth, .pt2): reading a .pt file"
        " may run code",
    ),
    (b"\x80", "a Python pickle, as torch.save wrote before 1.6 (.pt, .pth): reading one runs code"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"\x89HDF", "an HDF5 file, as Keras writes (.h5)"),
    (b"\x1f\x8b", "packed by gzip: unpack it first"),
    (b"<", "a web page or XML: the download went wrong"),
)
_ENDINGS = {".onnx": "an ONNX file, which is an export"}


def unreadable(path: Path, error: Exception) -> str:
    """Return one line that says what ``path`` is and what is read.

    Args:
        path: what should have been a checkpoint.
        error: why it could not be read, said where the file is of no known kind.
    """
    kind = _kind(path)
    if kind:
        return f"{path}: is {kind}{_READ}"
    return f"{path}: cannot read the checkpoint: {' '.join(str(error).split())}"


def _kind(path: Path) -> str:
    try:
        check_regular(path)  # to open a pipe may take for ever
        with path.open("rb") as file:
            begins = file.read(32).lstrip()
    except (OSError, ValueError):
        return ""
    named = (kind for beginning, kind in _BEGINNINGS if begins.startswith(beginning))
    return next(named, _ENDINGS.get(path.suffix, ""))
