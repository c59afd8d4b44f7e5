"""``python -m studies init FOLDER``: a project of one's own, small and working."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from mnist_core.errors import UserError

TEMPLATES = ("README.md", "conf.toml", "my_model.py", "my_objective.py", "my_study.py")
"""Files of a new project."""


def init_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="of the new project")],
) -> None:
    """Write a small working project: a study, a model, an objective, conf.toml, a README.

    In its folder, studies, models and objectives of your own are found by name.

    Examples:
        python -m studies init my-project
    """
    from mnist_core.console.shell_words import argument, as_started, command, quoted
    from mnist_core.files import from_here, prepare_folder, write_atomically

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{from_here(folder)}: is a file; name a folder")
    if there := [name for name in TEMPLATES if (folder / name).exists()]:
        raise UserError(
            f"{from_here(folder)}: already holds {', '.join(there)}, and nothing is overwritten;"
            " name another folder"
        )
    prepare_folder(folder, "FOLDER")
    templates = resources.files("studies") / "cli" / "project"
    for name in TEMPLATES:
        text = (templates / name).read_text(encoding="utf-8")
        write_atomically(folder / name, as_started(text))
        typer.echo(f"written: {from_here(folder / name)}")
    if folder.resolve() != Path.cwd():
        typer.echo(f"next:    cd {quoted(argument(folder))}")
    typer.echo(f"then:    {command('studies', 'show', 'my_study')}")
    typer.echo(f"         {command('studies.run', 'my_study', '--quick')}")
