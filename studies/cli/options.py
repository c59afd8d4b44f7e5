"""What the commands share: options, how a study is found, and how a command ends."""

import errno
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_core.console import command_line
from mnist_core.errors import ConfigError, UserError
from mnist_core.table import as_written, parse_assignment
from search_spaces.space import SpaceError
from studies.cli import completing

if TYPE_CHECKING:  # optuna and torch take seconds to import, and --help needs neither
    from studies.planning.plan import Plan

STUDY_OR_FOLDER = "a study's name, its file or its folder, e.g. results/cuda/NAME"

StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="a study's name (python -m studies list), or its file: ./my_study.py",
        autocompletion=completing.study,
    ),
]
RunStudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY", help=STUDY_OR_FOLDER, autocompletion=completing.study),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. epochs=3 (may be repeated)"),
]
ConfOption = Annotated[
    Path | None, typer.Option("--conf", metavar="FILE", help="read instead of conf.toml")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="the small version of the study, in a folder of its own")
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="data.name, e.g. mnist, fashion_mnist, or the path of your images",
        autocompletion=completing.data_set,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object: docs/json.md")]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="print lines, also on a terminal, instead of the live view")
]


WRITTEN = {
    "data.name": "--dataset",
    "device": "--device",
    "engine.name": "--engine",
    "engine.ray.address": "--ray-address",
    "engine.workers": "--workers",
    "search.enqueue": "--enqueue",
    "search.imports": "--import",
    "search.learn_from": "--learn-from",
    "search.order": "--order",
    "search.trials": "--trials",
    "search.trials_complete": "--trials-complete",
    "tracking.trackers": "--track",
}
"""Options by the setting that they become."""


def workers(text: str) -> int:
    """Return the number of ``--workers``; 0 for ``auto``.

    Raises:
        typer.BadParameter: if it is neither.
    """
    try:
        return 0 if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'auto'") from None


def main(app: typer.Typer, name: str, *, opening_project: Collection[str] = ()) -> None:
    """Run ``app`` and exit: 1 with one line for a user's mistake, 130 after Ctrl-C.

    ``opening_project``: as ``command_line.run``.
    """
    try:
        command_line.run(
            app,
            name,
            errors=(UserError, SpaceError),
            written=WRITTEN,
            opening_project=opening_project,
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from studies.report.console import drop_output

        drop_output()
        where = f"{error.filename}: " if error.filename else "the output: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        sys.exit(1)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The study that a command line names, and the settings to find it with."""

    study: RunStudyArgument = ""
    dataset: DatasetOption = None
    assignments: SetOption = None
    conf: ConfOption = None
    quick: QuickOption = False

    def resolve(self, options: Mapping[str, Any] | None = None) -> "Plan":
        """Return the plan that would run now; ``options`` that are None are left out.

        Raises:
            UserError: if a name or a value is wrong.
        """
        from studies.core.redaction import masked
        from studies.planning import plan

        given = {"data.name": self.dataset, **(options or {})}
        sets = {key: value for key, value in given.items() if value is not None}
        by_set: dict[str, Any] = {}
        try:
            by_set = dict(parse_assignment(text) for text in self.assignments or [])
            return plan.resolve(self.study, conf=self.conf, sets=sets | by_set, quick=self.quick)
        except ConfigError as error:
            # --set wins, so a mistake in its value is its own.
            written = {key: WRITTEN[key] for key in sets if key in WRITTEN and key not in by_set}
            raise ConfigError(masked(str(as_written(error, written)))) from None

    def find(self, study: str = "", *, silent: bool = False) -> "Plan":
        """Return the plan that ``study`` (left out: the named one) was run with.

        Settings on the command line that differ from it are printed, unless ``silent``.

        Raises:
            UserError: if there is no such study, or it cannot be read.
        """
        from studies import catalog
        from studies.planning import lookup

        quiet_optuna()
        plan = lookup.find(
            catalog.named(study or self.study),
            conf=self.conf,
            assignments=self.assignments,
            sets={} if self.dataset is None else {"data.name": self.dataset},
            quick=self.quick,
            say=lambda line: None if silent else typer.echo(line, err=True),
        )
        quick = plan.folder.with_name(f"{plan.name}-quick")
        if not plan.folder.exists() and quick.is_dir():
            from studies.analysis import stored_study

            if not stored_study.exists(plan.location):  # it is not in a storage elsewhere
                raise UserError(
                    f"there is no study {plan.name} in {plan.folder.parent}; run it first, or add"
                    f" --quick: {quick.name} is there"
                )
        return plan


def on_study(
    *, argument: Any = RunStudyArgument, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the parameters of ``Chosen`` in place of its parameter ``chosen``.

    Args:
        argument: how STUDY is declared; it comes first, the options come last.
        without: parameters that the command does not have.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shared = inspect.signature(Chosen, eval_str=True).parameters
        chosen = {name: one for name, one in shared.items() if name not in without}
        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own["chosen"]
        study = chosen.pop("study", None)
        first = [study.replace(annotation=argument, default=study.empty)] if study else []
        # By keyword, as options with a default may come before arguments without one.
        keywords = [
            one.replace(kind=one.KEYWORD_ONLY) for one in (*first, *own.values(), *chosen.values())
        ]

        @functools.wraps(command)
        def run(*study: str, **given: Any) -> None:
            given |= {"study": study[0]} if study else {}
            named = {name: given.pop(name) for name in shared if name in given}
            if "study" in named:
                from studies import catalog

                named["study"] = catalog.named(named["study"])
            command(Chosen(**named), **given)

        run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in keywords}
        return run

    return decorate


def results(conf: Path | None, assignments: list[str] | None) -> Path:
    """Return the folder of results that the settings name.

    Raises:
        ConfigError: if a setting is unknown or wrong.
    """
    return places(conf, assignments)[0]


def places(conf: Path | None, assignments: list[str] | None) -> tuple[Path, str]:
    """Return the folder of results and the storage URL, or "", that the settings name.

    Raises:
        ConfigError: if a setting is unknown or wrong.
    """
    from studies.core.redaction import masked
    from studies.planning.layers import settings_of
    from studies.planning.layout import results_folder
    from studies.storage.url import absolute_url

    try:
        sets = dict(parse_assignment(text) for text in assignments or [])
        settings, _ = settings_of("", None, conf=conf, sets=sets)
        url = settings.storage.url
        return results_folder(settings.results.folder), absolute_url(url) if url else ""
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None


def print_json(value: Mapping[str, Any]) -> None:
    """Print ``value`` as JSON."""
    from studies.core.json_text import json_text

    typer.echo(json_text(value))


def quiet_optuna() -> None:
    """Let Optuna print warnings only."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
