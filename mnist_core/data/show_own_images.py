"""What ``data show`` and ``data verify`` say of own images, and of data sets that are archives."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from mnist_core.console.plain_text import counted, one_line
from mnist_core.console.shell_words import command
from mnist_core.data import cifar_svhn_emnist, own_images, readers
from mnist_core.data.cifar_svhn_emnist import ARCHIVE_SETS
from mnist_core.data.idx import UInt8Array
from mnist_core.data.own_images import OwnSource
from mnist_core.data.readers.parts import TEST, TRAIN, VALIDATION, Labelled
from mnist_core.data.text_pictures import picture
from mnist_core.errors import DataError

Counts = npt.NDArray[np.integer]


def show(console: Console, source: OwnSource) -> None:
    """Print the format, shape, split and classes of images, and one image of each class.

    Raises:
        DataError: if they cannot be read; archives that are missing are not downloaded.
    """
    check_archives(source)
    found = own_images.read(source)
    n_classes = found.found.n_classes
    typer.echo(f"{source.title}: {_kind(source)}")
    typer.echo(f"{found.about} pixels, {counted(n_classes, 'class', 'classes')}, in {source.path}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    for part, digest in found.sha256.items():
        typer.echo(f"sha256 {digest}  {part}")
    typer.echo(f"fingerprint {found.fingerprint} (images and split)")
    train = found.images(TRAIN)
    shown = {TRAIN: train, VALIDATION: found.images(VALIDATION)}
    if found.indices.confirm is not None and len(found.indices.confirm):
        shown["confirm"] = found.images("confirm")
    # The labels' counts only: the test images stay unread.
    labels = {part: of.labels for part, of in shown.items()}
    if not found.test_problem:
        parts = found.found.parts
        kept = parts[TEST].labels if found.test is None else parts[TRAIN].labels[found.test]
        labels[TEST] = kept
    counts = {part: np.bincount(of, minlength=n_classes) for part, of in labels.items()}
    print_counts(console, counts, found.about.named(n_classes))
    print_firsts(console, train.images, train.labels)


def verify(source: OwnSource) -> bool:
    """Decode all images again, print one line a part, and return whether all are good."""
    try:
        check_archives(source)
        known = ARCHIVE_SETS.get(source.name)
        if known is not None:
            for archive in known.archives:
                cifar_svhn_emnist.check_archive(archive, source.path / archive.name)
        read = readers.reader_of(source.path) if known is None else known.decode
        parts = read(source.path, source.wanted, None)
    except DataError as error:
        typer.echo(f"BAD  {source.title}  {one_line(str(error))}")
        return False
    for part, of in parts.of.items():
        typer.echo(f"ok   {source.title}  {part}  {_described(of)}  {_kind(source)}  {source.path}")
    for note in parts.notes:
        typer.echo(f"note {source.title}  {note}")
    return True


def check_archives(source: OwnSource) -> None:
    """Raise ``DataError`` if an archive of a known data set is missing."""
    known = ARCHIVE_SETS.get(source.name)
    if known is None:
        return
    if not all((source.path / archive.name).is_file() for archive in known.archives):
        raise DataError(
            f"{known.name} is not here; get it with"
            f" `{command('mnist_core', 'data', 'prepare', known.name)}` or name its folder with"
            " --root"
        )


def _kind(source: OwnSource) -> str:
    known = ARCHIVE_SETS.get(source.name)
    return readers.format_of(source.path) if known is None else f"{known.title}; {known.licence}"


def _described(of: Labelled) -> str:
    sides = "x".join(map(str, of.images.shape[1:]))
    n_classes = len(np.unique(of.labels))
    return f"{counted(len(of), 'image')} of {sides}  {counted(n_classes, 'class', 'classes')}"


def print_counts(console: Console, counts: Mapping[str, Counts], names: Sequence[str]) -> None:
    """Print how many images of each class each part has."""
    table = Table("class", *counts)
    for label, name in enumerate(names):
        table.add_row(name, *(f"{count[label]:,}" for count in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{count.sum():,}" for count in counts.values()))
    console.print(table)


def print_firsts(console: Console, images: UInt8Array, labels: npt.NDArray[np.integer]) -> None:
    """Print one image of each class that occurs, in order of class, as text."""
    firsts = np.unique(labels, return_index=True)[1]
    typer.echo(picture(images[firsts], console.width))
