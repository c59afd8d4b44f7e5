"""``python -m studies clean [STUDY…]``: what can be removed of studies, and its removal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_core.console.plain_text import one_line
from mnist_core.errors import ConfigError, UserError, unknown_name
from studies.cli import completing, options

if TYPE_CHECKING:  # they take a moment to import
    from studies.protocol.cleaning import Leftover
    from studies.storage.location import StudyLocation


@options.on_study(without=["study", "dataset"])
def clean_command(
    chosen: options.Chosen,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY…]",
            help=f"{options.STUDY_OR_FOLDER}; without one: all in the folder of results",
            autocompletion=completing.study,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="states, models, drafts, logs or aside (may be repeated)",
            autocompletion=completing.kind_of_leftover,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it, without a question")] = False,
) -> None:
    """Show what studies can do without, by kind and size; with --yes remove it.

    states: saved states of trials that have ended. models: kept models of configurations that are
    shown to be worse than the best, once the test set was read. drafts: half-written files of
    commands that were killed. logs: what trackers printed. aside: whole studies that --fresh moved
    aside; they are only removed with `--only aside`.

    What `run`, --retry-failed, `reproduce`, `replay`, `report`, `export` and `demo` need stays:
    database, event log, reports, exported configurations, and the models of the best configuration
    and of all that may be as good. A running study is left alone.

    Examples:
        python -m studies clean

        python -m studies clean optim_search --only models --yes
    """
    from studies.protocol.cleaning import KINDS, ON_REQUEST

    for kind in only or ():
        if kind not in KINDS:
            raise ConfigError(f"--only: {unknown_name('kind', kind, KINDS)}")
    wanted = set(only or KINDS)
    found = [
        (place, [one for one in all_of if one.kind in wanted])
        for place, all_of in _found(chosen, names or [])
    ]
    listed = [one for _, all_of in found for one in all_of]
    if not listed:
        typer.echo("nothing can be removed")
        return
    _print(listed)
    goes = [one for one in listed if only or one.kind not in ON_REQUEST]
    if not goes:
        typer.echo("these are only removed with --only aside")
        return
    from studies.report.study_list import size_text

    total = size_text(sum(one.size for one in goes))
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            typer.echo(f"nothing was removed; --yes removes {total}")
            return
        if not typer.confirm(f"remove {total}?"):
            return
    from studies.protocol.cleaning import remove

    freed = 0
    for place, all_of in found:
        if chosen_of := [one for one in all_of if one in goes]:
            freed += remove(place, chosen_of)
    typer.echo(f"removed {size_text(freed)}")


def _found(
    chosen: options.Chosen, names: list[str]
) -> list[tuple["StudyLocation", list["Leftover"]]]:
    """Return what can be removed of each study; of those that were not named, as far as possible.

    Raises:
        UserError: if a study that was named runs, or cannot be read.
    """
    from studies.analysis import stored_study
    from studies.protocol.cleaning import leftovers
    from studies.storage import leases

    results = options.results(chosen.conf, chosen.assignments)
    folders = [] if names or not results.is_dir() else sorted(results.iterdir())
    words = names or [str(one) for one in folders if one.name[0] != "." and _is_study(one)]
    found = []
    for word in words:
        try:
            stored = stored_study.read(chosen.find(word, silent=True))
            location = stored.plan.location
            with location.opened(required=True) as studies:
                assert studies.search is not None
                leases.check_idle(studies.search, "clean it")
            found.append((location, list(leftovers(stored))))
        except UserError as error:
            if names:
                raise
            typer.echo(f"left alone: {one_line(str(error))}", err=True)
    return found


def _is_study(folder: Path) -> bool:
    from studies.core.event_log import FILE
    from studies.planning.lookup import database_of

    # One that was moved aside is listed with the study that followed it.
    follower = folder.with_name(folder.name.partition(".")[0])
    if not folder.is_dir() or (follower != folder and follower.is_dir()):
        return False
    return (folder / FILE).is_file() or bool(database_of(folder))


def _print(found: list["Leftover"]) -> None:
    from studies.protocol.cleaning import KINDS, ON_REQUEST
    from studies.report.console import make_console
    from studies.report.fitting import fitted
    from studies.report.study_list import size_text

    rows = []
    for study, kind in dict.fromkeys((one.study, one.kind) for one in found):
        of_kind = [one for one in found if (one.study, one.kind) == (study, kind)]
        size = size_text(sum(one.size for one in of_kind))
        note = ", on request" if kind in ON_REQUEST else ""
        rows.append((study, f"{kind}{note}", KINDS[kind], str(len(of_kind)), size))
    console = make_console()
    console.print(fitted(console, ("study", "kind", "what", "number", "size"), rows))
