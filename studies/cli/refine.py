"""``python -m studies refine STUDY``: the next study, narrower, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core import plugins
from mnist_core.errors import UserError
from studies.cli import options


@options.on_study()
def refine_command(
    chosen: options.Chosen,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="of the new study; left out: STUDY_refined")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write here, not to NAME.py in the project's folder"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Write a narrower study from a finished one, with the evidence in comments.

    It goes to the first folder of [project] path in conf.toml, or else to the working directory.

    Choices that are shown to be worse are left out, values that no leading configuration has are
    dropped, ranges are cut to where the better half of the trials lies, and widened where a leading
    value lies on a bound. The confirmed configurations become the defaults, which have to be
    beaten.

    Examples:
        python -m studies refine optim_search

        python -m studies refine results/full/optim_search --out next.py
    """
    plan = chosen.find()
    from mnist_core.console.shell_words import argument, command
    from mnist_core.files import check_file, from_here, write_atomically
    from studies.analysis import refinement, stored_study
    from studies.analysis.study_file import study_file

    name = name or f"{plan.spec.name}_refined"
    if not name.isidentifier():
        raise UserError(f"--name {name}: must be a Python name, such as {plan.spec.name}_refined")
    file = out or _folder() / f"{name}.py"
    if file.exists() and not force:
        raise UserError(f"{from_here(file)}: exists; --force overwrites it, --name takes another")
    check_file(file, "--out", f"{name}.py")
    found = stored_study.read(plan)
    refined = refinement.refine(found.finished(), found.search)
    write_atomically(file, study_file(plan, refined, name))
    for parameter, one in refined.parameters.items():
        if one.why:
            typer.echo(f"{parameter}: {one.why}")
    for line in refined.dropped:
        typer.echo(f"left out: {line}")
    if not refined.changed:
        typer.echo("nothing to narrow: the evidence is not enough to leave anything out")
    typer.echo(f"written: {from_here(file)}")
    word = name if file.parent.absolute() in plugins.listed_folders() else argument(file)
    typer.echo(f"run it:  {command('studies.run', word)}")


def _folder() -> Path:
    return next(iter(plugins.listed_folders()), Path())
