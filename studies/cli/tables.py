"""``python -m studies tables STUDY --to FOLDER``: a study as CSV or Parquet."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core.console.plain_text import counted
from studies.cli import options


@options.on_study(without=["dataset"])
def tables_command(
    chosen: options.Chosen,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="where the files go")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="csv (default) or parquet (may be repeated)"),
    ] = None,
) -> None:
    """Write a study as tidy tables: trials, curves (a row for each report) and confirm.

    In Python: `import studies; studies.load("optim_search").trials`. The columns are described in
    `studies/analysis/tables.py` (`help(studies.analysis.tables)`).

    Examples:
        python -m studies tables optim_search --to tables

        python -m studies tables results/cuda/optim_search --to tables
    """
    from mnist_core.files import prepare_folder
    from studies.analysis import stored_study
    from studies.analysis import tables as frames

    # Before the study is read, which may take seconds.
    frames.check_formats(formats or ["csv"])
    found = stored_study.read(chosen.find())
    prepare_folder(to, "--to")
    tables = frames.tables(found)
    files = frames.write(tables, to, formats or ["csv"])
    for name, table in tables.by_name().items():
        typer.echo(f"{name}: {counted(len(table), 'row')}, {counted(len(table.columns), 'column')}")
    typer.echo(f"written: {', '.join(map(str, files))}")
