"""How the programs of this project end: one line for a mistake of the user, and an exit code."""

import sys

import typer.main

from mnist_core.console import help_text, streams
from mnist_core.console.plain_text import one_line
from mnist_core.errors import UserError


def run(app: typer.Typer, name: str, *, errors: tuple[type[Exception], ...] = (UserError,)) -> None:
    """Run ``app`` as the program ``name`` and exit.

    Exit codes: 0 done; 1 a mistake that the user can mend (one of ``errors``, printed as one
    line); 2 a command line that cannot be read; 130 interrupted. Other exceptions are defects and
    keep their traceback. An output without a reader changes none of them.
    """
    streams.prepare()
    command = typer.main.get_command(app)
    help_text.prepare(command)
    try:
        command(prog_name=name)
    except errors as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except SystemExit as stop:
        # typer answers Ctrl-C by itself, without a word.
        if isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        raise
