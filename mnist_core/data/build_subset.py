"""Draw the embedded tenth of MNIST: ``python -m mnist_core.data.build_subset FULL [TARGET]``."""

from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer

from mnist_core.data import idx, storage
from mnist_core.data.registry import by_name
from mnist_core.errors import UserError

SEED: Final = 42
CONFIRM_SEED: Final = 43
CONFIRM_IMAGES: Final = 5_000


def drawn(n: int) -> npt.NDArray[np.int64]:
    """Return which tenth of ``n`` images is kept, int64 ``[n // 10]``, in the order drawn."""
    return np.random.default_rng(SEED).choice(n, n // 10, replace=False)


def drawn_to_confirm(n: int) -> npt.NDArray[np.int64]:
    """Return which of ``n`` training images judge confirmed models, int64 ``[5000]``, as drawn.

    None of them is in the tenth.
    """
    rest = np.setdiff1d(np.arange(n), drawn(n))
    generator = np.random.default_rng(CONFIRM_SEED)
    return rest[generator.choice(len(rest), CONFIRM_IMAGES, replace=False)]


def build(source: Path, target: Path) -> dict[str, str]:
    """Write the six ``.gz`` files of the subset; return the SHA-256 of each content by name."""
    mnist = by_name("mnist")
    raws = {file.name: storage.read_verified(mnist, file, source) for file in mnist.files}
    hashes = {
        name: _write(raw, drawn(raw.shape[0]), target / f"{name}.gz") for name, raw in raws.items()
    }
    for file, train in zip(by_name("mnist-10pct").confirm, mnist.files[:2], strict=True):
        raw = raws[train.name]
        kept = drawn_to_confirm(raw.shape[0])
        hashes[file.name] = _write(raw, kept, target / f"{file.name}.gz")
    return hashes


def _write(raw: idx.Raw, kept: npt.NDArray[np.int64], path: Path) -> str:
    if raw.kind is idx.IMAGES:
        idx.write_images(path, raw.images()[kept])
    else:
        idx.write_labels(path, raw.labels()[kept])
    return idx.read_raw(path).sha256()


def main(
    source: Annotated[Path, typer.Argument(help="folder with the full MNIST files")],
    target: Annotated[Path, typer.Argument(help="folder to write to")] = storage.EMBEDDED,
) -> None:
    """Draw the embedded tenth of MNIST from the full files."""
    try:
        hashes = build(source, target)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for name, digest in hashes.items():
        typer.echo(f"{digest}  {name}")


if __name__ == "__main__":
    typer.run(main)
