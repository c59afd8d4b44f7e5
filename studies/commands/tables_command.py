"""``python -m studies tables STUDY --to FOLDER``: a study as CSV or Parquet.

python -m studies tables optim_search --to tables --format parquet
"""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core.counting import counted
from studies import cli


def tables_command(
    study: cli.RunStudyArgument,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="where the files go")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="csv or parquet (may be repeated)"),
    ] = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Write a study as tidy tables: trials, curves (a row a report) and confirm.

    In Python: `import studies; studies.load("optim_search").trials`. What the columns are stands in
    `studies/findings/frames.py` (`help(studies.findings.frames)`).

    Examples:
        python -m studies tables optim_search --to tables

        python -m studies tables results/cuda/optim_search --to tables --format parquet
    """
    import optuna

    from mnist_core.files import check_folder
    from studies.book import stored
    from studies.findings import frames

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    frames.check_formats(formats or ["csv"])
    found = stored.read(cli.find(study, conf=conf, assignments=assignments, quick=quick))
    check_folder(to, "--to")
    tables = frames.tables(found)
    files = frames.write(tables, to, formats or ["csv"])
    for name, table in tables.by_name().items():
        typer.echo(f"{name}: {counted(len(table), 'row')}, {counted(len(table.columns), 'column')}")
    typer.echo(f"written: {', '.join(map(str, files))}")
