"""``python -m studies reproduce FILE``: does an exported configuration reach its recorded value?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_core.commands.options import tolerance_option
from mnist_core.errors import ConfigError, UserError
from mnist_core.table import parse_assignment

if TYPE_CHECKING:  # they take a moment to import
    from mnist_core.console.safe_console import SafeConsole
    from studies.analysis.reproduction import Recorded

_SAME_TRAINING = ("data.root", "cuda_graph")
"""Settings that change where or how a training is computed, but not its meaning."""


def reproduce_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="a best_config.toml, or a trial's export")
    ],
    tolerance: Annotated[
        float | None, tolerance_option("the 95 % prediction interval of the recorded seeds")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="instead of the recorded one: cpu, cuda, cuda:1 …"),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="the file of an objective of one's own that is not in the project: the study's, or"
            " that of the program that runs it: ./my_study.py",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="where the data is: data.root=DIR"),
    ] = None,
) -> None:
    """Train an exported configuration again, with its seed, and compare.

    Exit code 0: it reached the recorded value, exactly or within the tolerance. 1: it did not; what
    differs from the record (versions, device) is named. The test images are not read.

    A file that was edited is refused. A file without a seal (record.sha256) gets a warning: it may
    have been edited.

    Examples:
        python -m studies reproduce results/optim_search/best_config.toml

        python -m studies reproduce best_config.toml --tolerance 0.3
    """
    changes = dict(parse_assignment(text) for text in assignments or [])
    for key in changes:
        if key not in _SAME_TRAINING:
            raise ConfigError(
                f"--set {key}: changes the training; only {', '.join(_SAME_TRAINING)} can be set"
            )
    from objectives.own.adapter import OwnConfiguration
    from studies.analysis import reproduction
    from studies.cli.reproduce_own import run_again

    recorded = reproduction.read(file)
    if isinstance(recorded.config, OwnConfiguration):
        if device is not None or changes:
            raise ConfigError(
                f"{file}: was not measured by the trainer, so --device and --set change nothing;"
                " leave them out"
            )
        _warn(recorded)
        value, facts = run_again(file, recorded, study)
        _conclude(file, recorded, value, facts, tolerance)
        return
    if study is not None:
        raise ConfigError(f"--study: {file} was measured by the trainer; leave it out")
    if device is not None:
        changes["device"] = device
    found = recorded.config.again(
        file,
        changes,
        recorded.metric,
        recorded.facts.get("data_fingerprint"),
        lambda: _warn(recorded),
    )
    if recorded.metric not in found.metrics:
        raise UserError(f"{file}: the training has no {recorded.metric}, which the record names")
    value = found.metrics[recorded.metric]
    _conclude(file, recorded, value, found.facts, tolerance, judged=found.judged)


def _console() -> "SafeConsole":
    from mnist_core.console.safe_console import SafeConsole

    return SafeConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)


def _warn(recorded: "Recorded") -> "SafeConsole":
    """Print a line about a file without a seal; return the console."""
    from studies.analysis import reproduction

    console = _console()
    if not recorded.sealed:
        console.print(reproduction.unsealed(recorded))
    return console


def _conclude(
    file: Path,
    recorded: "Recorded",
    value: float,
    facts: Mapping[str, str],
    tolerance: float | None,
    *,
    judged: int = 0,
) -> None:
    """Print whether ``value`` is the recorded one, of ``judged`` images; UserError: it is not."""
    from studies.analysis import reproduction

    console = _console()
    # The tolerance is percentage points of a share, and the metric's own unit otherwise.
    share = recorded.metric.endswith("accuracy")
    verdict = reproduction.compare_with_record(
        recorded,
        value,
        facts,
        tolerance=tolerance / 100 if share and tolerance is not None else tolerance,
        step=1 / judged if share and judged else 0.0,
    )
    for difference in verdict.differences:
        console.print(f"not as recorded: {difference}")
    if verdict.outcome == reproduction.OUTSIDE:
        why = f"; as recorded: {', '.join(verdict.same) or 'nothing that the file names'}"
        raise UserError(f"{file}: {verdict.text}{why}")
    console.print(verdict.text)
