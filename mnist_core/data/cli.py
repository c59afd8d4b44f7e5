"""The commands of ``python -m mnist_core data``: prepare, verify, show."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn
from rich.table import Table

from mnist_core.config import DataConfig
from mnist_core.console.plain_text import counted, one_line
from mnist_core.console.safe_console import SafeConsole
from mnist_core.console.shell_words import command
from mnist_core.console.streams import can_redraw
from mnist_core.data import (
    cifar_svhn_emnist,
    datasets,
    download,
    name_or_path,
    own_images,
    show_own_images,
    storage,
)
from mnist_core.data.cifar_svhn_emnist import ARCHIVE_SETS, ArchiveSet
from mnist_core.data.registry import DATA_SETS, FOLDER, DataSet, by_name
from mnist_core.errors import DataError
from mnist_core.images import MOST_SIDE

app = typer.Typer(no_args_is_help=True, help="Get, verify and show data sets.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="data set; see `data show`")]
_OptionalName = Annotated[
    str, typer.Argument(metavar="[NAME]", help="data set, or path of your images; empty: all")
]
_Size = Annotated[
    int | None, typer.Option(min=1, max=MOST_SIDE, help="of your images: pixels a side")
]
_Channels = Annotated[int | None, typer.Option(help="of your images: 1: grey, 3: colour")]
_Root = Annotated[str, typer.Option(help="folder with the files; empty: the cache folder")]


@app.command()
def prepare(name: _Name, root: _Root = "") -> None:
    """Download the missing files of a data set and verify the rest."""
    if name in ARCHIVE_SETS:
        _prepare_archives(ARCHIVE_SETS[name], root)
        return
    data_set = by_name(name, setting="")
    folder = storage.folder_of(data_set, root)
    if data_set.mirrors:
        fetched = _download(data_set, folder)
        typer.echo(f"{name}: {counted(len(fetched), 'file')} fetched into {folder}")
    if not _verify(data_set, folder):
        raise typer.Exit(1)


@app.command()
def verify(
    name: _OptionalName = "", root: _Root = "", size: _Size = None, channels: _Channels = None
) -> None:
    """Check every byte, or decode all of your images; exit with 1 when one is bad or missing."""
    if root and not name:
        raise DataError(f"--root needs a NAME (valid: {', '.join(sorted(DATA_SETS))})")
    source = _own_source(name, root, size, channels)
    if source is not None:
        if not show_own_images.verify(source):
            raise typer.Exit(1)
        return
    chosen = (
        [by_name(name, setting="")]
        if name
        else [entry for entry in DATA_SETS.values() if _present(entry)]
    )
    results = [_verify(data_set, storage.folder_of(data_set, root)) for data_set in chosen]
    if not all(results):
        raise typer.Exit(1)


@app.command()
def show(
    name: _OptionalName = "", root: _Root = "", size: _Size = None, channels: _Channels = None
) -> None:
    """Show the known data sets, or one in detail: also the images of a path."""
    console = SafeConsole()
    source = _own_source(name, root, size, channels)
    if source is not None:
        show_own_images.show(console, source)
    elif name:
        _show_one(console, by_name(name, setting=""), root)
    else:
        _show_all(console)


def _own_source(
    name: str, root: str, size: int | None, channels: int | None
) -> own_images.OwnSource | None:
    """Return the images of a path, or a data set of archives; None: another data set, or all."""
    if not name:
        return None
    given = {"name": name, "root": root, "size": size, "channels": channels}
    return own_images.OwnSource.of(DataConfig.from_mapping(given, source="data"))


def _prepare_archives(known: ArchiveSet, root: str) -> None:
    folder = name_or_path.folder_of_archives(DataConfig(name=known.name, root=root))
    with _download_bar() as progress:
        cifar_svhn_emnist.download_archives(known, folder, progress)
    for archive in known.archives:
        cifar_svhn_emnist.check_archive(archive, folder / archive.name)
        typer.echo(f"ok   {known.name}  {archive.digest}  published  {folder / archive.name}")


def _present(data_set: DataSet) -> bool:
    if data_set.name == FOLDER:
        return False
    return len(storage.missing(data_set, storage.folder_of(data_set))) < len(data_set.files)


def _verify(data_set: DataSet, folder: Path) -> bool:
    """Print one line a file; return whether all are here and none is known to differ."""
    # A line begins with ok, BAD, or ? where no hash says whose content it is.
    good = True
    for file in data_set.files:
        try:
            raw = storage.read_verified(data_set, file, folder)
        except DataError as error:
            typer.echo(f"BAD  {data_set.name}  {file.name}  {one_line(str(error))}")
            good = False
        else:
            origin = storage.vouched(file, raw, folder)
            mark = "ok" if origin or data_set.name == FOLDER else "?"
            said = origin or _UNKNOWN
            typer.echo(f"{mark:<5}{data_set.name}  {file.name}  {raw.sha256()}  {said}  {raw.path}")
    return good


_UNKNOWN = "no hash known: the structure was checked, not whose content it is"


def _show_all(console: Console) -> None:
    table = Table("name", "what", "where", title="Data sets")
    for data_set in DATA_SETS.values():
        table.add_row(data_set.name, data_set.title, _where(data_set))
    for known in ARCHIVE_SETS.values():
        place = name_or_path.folder_of_archives(DataConfig(name=known.name))
        here = all((place / archive.name).is_file() for archive in known.archives)
        said = f"here, {place}" if here else f"not here; `data prepare {known.name}` gets it"
        table.add_row(known.name, known.title, said)
    console.print(table)
    console.print(
        "Hashes of the raw files are known for mnist, mnist-10pct and fashion_mnist; of the others"
        f" the download is checked and the raw hash recorded in {storage.SUMS} at first use.",
        highlight=False,
    )


def _where(data_set: DataSet) -> str:
    if data_set.name == FOLDER:
        return "where data.root says"
    folder = storage.folder_of(data_set)
    if storage.missing(data_set, folder):
        return f"not here; `data prepare {data_set.name}` gets it"
    return "here, embedded" if folder == storage.EMBEDDED else f"here, {folder}"


def _show_one(console: Console, data_set: DataSet, root: str) -> None:
    folder = storage.folder_of(data_set, root)
    if data_set.mirrors and not root and storage.missing(data_set, folder):
        raise DataError(
            f"{data_set.name} is not here; get it with"
            f" `{command('mnist_core', 'data', 'prepare', data_set.name)}` or name its folder with"
            " --root"
        )
    data = datasets.load(DataConfig(name=data_set.name, root=root))
    images = data.train.images.numpy()
    labels = data.train.labels.numpy()
    rows, columns = images.shape[1:]
    typer.echo(f"{data.name}: {data_set.title}; {data_set.licence}")
    typer.echo(
        f"{rows}x{columns} pixels, {counted(data.n_classes, 'class', 'classes')}, in {folder}"
    )
    for file in data_set.files:
        if file.name in data.sha256:
            origin = storage.known_hash(file, folder)[1] or _UNKNOWN
            typer.echo(f"sha256 {data.sha256[file.name]}  {file.name}  ({origin})")
    typer.echo(f"fingerprint {data.fingerprint} (files and split)")

    counts = {
        "train": np.bincount(labels, minlength=data.n_classes),
        "validation": np.bincount(data.validation.labels.numpy(), minlength=data.n_classes),
    }
    if storage.find(data_set.test_labels, folder):
        # The labels' counts only: the test images stay unread.
        test = storage.read_verified(data_set, data_set.test_labels, folder)
        counts["test"] = np.bincount(test.labels(data.n_classes), minlength=data.n_classes)
    names = [str(label) for label in range(data.n_classes)]
    show_own_images.print_counts(console, counts, names)
    show_own_images.print_firsts(console, images, labels)


def _download(data_set: DataSet, folder: Path) -> list[str]:
    with _download_bar() as advance:
        replace = storage.is_cache(data_set, folder)
        return download.download(data_set, folder, replace=replace, progress=advance)


@contextmanager
def _download_bar() -> Iterator[download.Progress]:
    """Yield what shows a progress bar on stderr, which a pipe does not see."""
    console = SafeConsole(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    off = not can_redraw(console.file)
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(name: str, here: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=here, total=total)

        yield advance
