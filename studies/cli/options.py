"""What the commands share: options, how a study is found, and how a command ends."""

import errno
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_core.console import command_line
from mnist_core.errors import ConfigError, UserError
from mnist_core.table import parse_assignment
from search_spaces.space import SpaceError

if TYPE_CHECKING:  # optuna and torch take seconds to import, and --help needs neither
    from studies.planning.plan import Plan

STUDY_OR_FOLDER = "a study's name or its folder, e.g. results/cuda/NAME"

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="a study's name: python -m studies list")
]
RunStudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help=STUDY_OR_FOLDER)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. epochs=3 (may be repeated)"),
]
ConfOption = Annotated[
    Path | None, typer.Option("--conf", metavar="FILE", help="read instead of conf.toml")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="a small run to its end, in a folder of its own")
]
DatasetOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="data.name, e.g. mnist, fashion_mnist")
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="print lines, also on a terminal, instead of the live view")
]


def workers(text: str) -> int:
    """Return the number of ``--workers``; 0 for ``auto``.

    Raises:
        typer.BadParameter: if it is neither.
    """
    try:
        return 0 if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'auto'") from None


def trackers(text: str | None) -> list[str] | None:
    """Return the names of ``--track``, [] for ``none``; None leaves it to the settings."""
    if text is None or text.strip() == "none":
        return None if text is None else []
    return [name for name in (part.strip() for part in text.split(",")) if name]


def main(app: typer.Typer, name: str) -> None:
    """Run ``app`` and exit: 1 with one line for a user's mistake, 130 after Ctrl-C."""
    try:
        command_line.run(app, name, errors=(UserError, SpaceError))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from studies.report.console import drop_output

        drop_output()
        where = f"{error.filename}: " if error.filename else "the output: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        sys.exit(1)


def resolve(
    study: str,
    *,
    conf: Path | None,
    assignments: list[str] | None,
    quick: bool,
    options: Mapping[str, Any] | None = None,
) -> "Plan":
    """Return the plan that the command line asks for; ``options`` that are None are left out.

    Raises:
        UserError: if a name or a value is wrong.
    """
    from studies.core.redaction import masked
    from studies.planning import plan

    sets = {key: value for key, value in (options or {}).items() if value is not None}
    try:
        sets |= dict(parse_assignment(text) for text in assignments or [])
        return plan.resolve(study, conf=conf, sets=sets, quick=quick)
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None


def find(
    study: str,
    *,
    conf: Path | None,
    assignments: list[str] | None,
    quick: bool,
    dataset: str | None = None,
) -> "Plan":
    """Return the plan that a study was run with, see ``planning/lookup.py``.

    Raises:
        UserError: if there is no such study, or it cannot be read.
    """
    from studies.planning import lookup

    quiet_optuna()
    return lookup.find(
        study,
        conf=conf,
        assignments=assignments,
        sets={} if dataset is None else {"data.name": dataset},
        quick=quick,
        say=lambda line: typer.echo(line, err=True),
    )


def quiet_optuna() -> None:
    """Let Optuna print warnings only."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
