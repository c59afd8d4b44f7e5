"""``python -m studies doctor``: one line for each check, and what to do about it."""

import time
from typing import TYPE_CHECKING, Any

import typer

from mnist_core.console.plain_text import counted
from studies.cli import options

if TYPE_CHECKING:
    from studies.cli.doctor.finding import Finding

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def doctor_command(
    assignments: options.SetOption = None,
    conf: options.ConfOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check whether studies can run here: GPU, packages, settings, data, storage, trackers.

    Each line is ok, note (it works, but you should know) or problem, with what to do about it.
    A product on each GPU is compared with the CPU's, the storage is tried, and the hashes of the
    data sets are computed. Nothing is left behind, and no password is printed. The exit code is 1
    if no study can run before a problem is mended.

    Examples:
        python -m studies doctor

        python -m studies doctor --set device=cuda --set engine.name=ray
    """
    from mnist_core.errors import ConfigError
    from mnist_core.table import parse_assignment
    from studies.cli.doctor.checks import findings, ready
    from studies.core.redaction import masked
    from studies.report.result_json import SCHEMA

    try:
        sets = dict(parse_assignment(text) for text in assignments or [])
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None
    start = time.monotonic()
    found = []
    for one in findings(conf, sets):
        found.append(one)
        if not as_json:
            _print(one)
    can_run = ready(found)
    if as_json:
        options.print_json(
            {"schema": SCHEMA, "ready": can_run, "checks": [_json(one) for one in found]}
        )
    else:
        _print_end(found, time.monotonic() - start)
    if not can_run:
        raise typer.Exit(1)


def _print(found: "Finding") -> None:
    from rich.text import Text

    from studies.report.console import make_console

    line = Text(f"{found.state:<8}", style=COLOURS[found.state])
    line.append(f"{found.subject:<11}", style="bold")
    line.append(str(found), style="")
    # One line each, for grep; a terminal breaks a long one by itself.
    make_console().print(line, soft_wrap=True)


def _print_end(found: "list[Finding]", seconds: float) -> None:
    counts = [
        counted(sum(one.state == state for one in found), state) for state in ("problem", "note")
    ]
    said = f"{counted(len(found), 'check')} in {seconds:.1f} s: {', '.join(counts)}"
    stopping = list(dict.fromkeys(one.subject for one in found if one.stops))
    if stopping:
        typer.echo(f"{said}; no study can run before this is mended: {', '.join(stopping)}")
    else:
        typer.echo(f"{said}; studies can run")


def _json(found: "Finding") -> dict[str, Any]:
    return {
        "subject": found.subject,
        "state": str(found.state),
        "text": found.text,
        "remedy": found.remedy or None,
        "stops": found.stops,
    }
