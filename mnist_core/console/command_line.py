"""How the programs of this project end: one line for a mistake of the user, and an exit code."""

import errno
import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import typer.main
from rich.markup import escape

from mnist_core import plugins
from mnist_core.console import streams
from mnist_core.console.plain_text import one_line
from mnist_core.console.shell_words import as_started
from mnist_core.errors import UserError
from mnist_core.table import as_written
from mnist_core.version import PACKAGE, package_version

NAMED = 80
"""Characters that are printed of a name that is too long."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"{PACKAGE} {package_version()}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="print the version"),
]


def run(
    app: typer.Typer,
    name: str,
    *,
    errors: tuple[type[Exception], ...] = (UserError,),
    written: Mapping[str, str] = MappingProxyType({}),
    opening_project: Collection[str] = (),
) -> None:
    """Run ``app`` as the program ``name`` and exit.

    ``written``: options by the setting that they become; a mistake is blamed on the option.
    ``opening_project``: commands that open the project themselves, and may outlive its mistakes.

    Exit codes: 0 done; 1 a mistake that the user can mend (one of ``errors``, printed as one
    line); 2 a command line that cannot be read; 130 interrupted. Other exceptions are defects and
    keep their traceback. An output without a reader changes none of them.
    """
    streams.prepare()
    command = typer.main.get_command(app)
    _show_help_as_written(command)
    try:
        opens_itself = next(iter(sys.argv[1:]), "") in opening_project
        if "--help" not in sys.argv and not opens_itself:
            plugins.open_project()
        command(prog_name=name)
    except errors as error:
        # Much is found wrong long after the options have become settings.
        said = as_written(error, _given(written, sys.argv[1:]))
        print(f"error: {one_line(str(said))}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # Path.exists() and its like raise for a name that is too long, whichever option it came by.
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = one_line(str(error.filename or ""))
        shown = name if len(name) <= NAMED else f"{name[:NAMED]}…"
        print(f"error: {shown}: {error.strerror} ({len(name)} characters)", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except SystemExit as stop:
        # typer answers Ctrl-C by itself, without a word.
        if isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        raise


def _given(written: Mapping[str, str], words: Sequence[str]) -> dict[str, str]:
    """Return those of ``written`` that ``words`` name; not what ``--set`` names, as it wins."""
    assignments = [
        word.removeprefix("--set=")
        for before, word in zip(["", *words], words, strict=False)
        if before == "--set" or word.startswith("--set=")
    ]
    by_set = {assignment.partition("=")[0].strip() for assignment in assignments}
    options = {word.partition("=")[0] for word in words}
    return {
        setting: option
        for setting, option in written.items()
        if option in options and setting not in by_set
    }


def _show_help_as_written(command: Any) -> None:
    """Prepare the help of ``command`` and all commands in it."""
    # typer takes […] in a docstring for rich's markup, and drops it. It also keeps a paragraph's
    # line ends, which the terminal's width then breaks a second time.
    if command.help:
        command.help = as_started(command.help)
    if getattr(command, "rich_markup_mode", None) == "rich":
        if command.help:
            command.help = escape(joined(command.help))
        for parameter in command.params:
            if getattr(parameter, "help", None):
                parameter.help = escape(as_started(parameter.help))
    for inner in getattr(command, "commands", {}).values():
        _show_help_as_written(inner)


def joined(text: str) -> str:
    """Return ``text`` with one line a paragraph; indented lines, of examples, stay lines."""
    lines: list[str] = []
    for line in text.splitlines():
        goes_on = line.strip() and not line.startswith(" ")
        if goes_on and lines and lines[-1].strip() and not lines[-1].startswith(" "):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)
