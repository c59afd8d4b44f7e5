"""What the study commands share: options, and how they end."""

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

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="a study's name: `python -m studies list`")
]
RunStudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="a study's name, or the folder that it left: results/cuda/NAME"
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. epochs=3 (may be repeated)"),
]
ConfOption = Annotated[
    Path | None, typer.Option("--conf", metavar="FILE", help="another file than conf.toml")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="a small run to its end, in a folder of its own")
]
DatasetOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="data.name, e.g. mnist, fashion_mnist")
]


def workers(text: str) -> int:
    """Return the number of ``--workers``; ``auto`` is 0.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return 0 if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'auto'") from None


def trackers(text: str | None) -> list[str] | None:
    """Return the names of ``--track``; ``none`` is no tracker, None what the settings say."""
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
    """Resolve a study's plan from the command line; ``options`` are left out where None.

    Raises:
        UserError: a name or a value is wrong.
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
    """Return the plan of a study that is looked at, as it was run; see ``planning/named.py``.

    Raises:
        UserError: there is no such study, or it cannot be read.
    """
    from studies.planning import lookup

    return lookup.find(
        study,
        conf=conf,
        assignments=assignments,
        sets={} if dataset is None else {"data.name": dataset},
        quick=quick,
        say=lambda line: typer.echo(line, err=True),
    )
