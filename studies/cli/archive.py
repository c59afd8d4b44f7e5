"""``python -m studies archive STUDY``: a whole study in one file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core.console.plain_text import counted
from mnist_core.console.shell_words import argument, command
from mnist_core.errors import ConfigError
from mnist_core.files import from_here
from studies.cli import completing, options


@options.on_study(without=["study", "dataset"])
def archive_command(
    chosen: options.Chosen,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]", help=options.STUDY_OR_FOLDER, autocompletion=completing.study
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="left out: NAME.tar.gz beside the study's folder"),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="remove the study's folder once the archive is checked")
    ] = False,
    restore: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="unpack this archive into results.folder instead"),
    ] = None,
) -> None:
    """Put a whole study into one file, or bring one back.

    The file (.tar.gz) has everything in the study's folder: database, events, models, reports. Its
    first member lists all files with their SHA-256. The finished file is read again and compared
    with the list before it gets its name. The folder stays, unless you ask for --remove. Of a study
    that is kept in another database (storage.url) the file has a copy, as study.db; that database
    is not changed, also not with --remove.

    --restore checks the whole file first, then unpacks it to the last bit. A folder of that name is
    not overwritten. A running study is refused.

    Examples:
        python -m studies archive optim_search

        python -m studies archive optim_search --to /backup/optim.tar.gz --remove

        python -m studies archive --restore /backup/optim.tar.gz
    """
    if (name is None) == (restore is None):
        raise ConfigError("archive: name either a STUDY, or an archive with --restore FILE")
    if restore is not None:
        if to is not None or remove:
            raise ConfigError("--restore: unpacks into results.folder; leave --to and --remove out")
        _restore(chosen, restore)
        return
    assert name is not None
    plan = chosen.find(name)
    from studies.protocol.archiving import archive_study
    from studies.report.study_list import size_text
    from studies.storage.archive_file import SUFFIX

    location = plan.location
    target = to or location.folder.with_name(f"{location.folder.name}{SUFFIX}")
    if not target.name.endswith(SUFFIX):
        raise ConfigError(f"--to: must be a file that ends in {SUFFIX}, but got {target}")
    if target.absolute().is_relative_to(location.folder.absolute()):
        raise ConfigError("--to: must lie outside the study's folder")
    found = archive_study(location, target, remove=remove, say=typer.echo)
    typer.echo(
        f"archived {found.study}: {counted(len(found.files), 'file')}, {size_text(found.size)};"
        f" {from_here(target)} ({size_text(target.stat().st_size)}), read again, hashes agree"
    )
    if remove:
        typer.echo(f"removed {from_here(location.folder)}")
        if found.storage:
            typer.echo(f"the study itself stays in {found.storage}")
    usual = options.results(None, None)  # what was given here must be given again
    place = from_here(location.folder.parent)
    there = [] if location.folder.parent == usual else ["--set", f"results.folder={place}"]
    again = command("studies", "archive", "--restore", argument(target), *there)
    typer.echo(f"bring it back with: {again}")


def _restore(chosen: options.Chosen, file: Path) -> None:
    results = options.results(chosen.conf, chosen.assignments)
    from studies.planning.next_commands import folder_command
    from studies.protocol.archiving import restore

    found, folder = restore(file, results)
    files = counted(len(found.files), "file")
    typer.echo(f"restored {found.study}: {files} in {from_here(folder)}")
    if found.storage:
        typer.echo(f"it was kept in {found.storage}; here it has a database of its own")
    typer.echo(f"look at it with: {folder_command('status', folder)}")
