"""``python -m studies rename OLD NEW``: give a study another name, everywhere."""

import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError, UserError
from mnist_core.files import from_here
from studies.cli import options

if TYPE_CHECKING:  # they take a moment to import
    from studies.analysis.stored_study import Stored
    from studies.planning.plan import Plan

_TRIAL = re.compile(r"trial_(\d+)\.toml")


@options.on_study(without=["dataset"])
def rename_command(
    chosen: options.Chosen,
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW", help="the study's name and a word of your own, e.g. optim_search-first"
        ),
    ],
) -> None:
    """Rename a study: in its storage, its folder, its reports, its exported configurations.

    NEW is the name of the study in the catalog, or that name with `-` and a word: `optim_search`,
    `optim_search-first`; with --quick `optim_search-quick-first`. The commands find the study under
    it, and `run NEW` resumes it. A study that --fresh moved aside gets a name again like this.

    A running study is refused, and so is a name that exists. If the command is killed, the old
    study or the new one is whole; the same command finishes. Runs that trackers have kept, and
    forks of the study, still name it as it was. A new study of the old name inherits what is on
    record about the test set.

    Examples:
        python -m studies rename optim_search optim_search-first

        python -m studies rename results/optim_search.20261121-101500 optim_search-before
    """
    from studies.analysis import stored_study
    from studies.protocol import renaming

    if _finish(chosen, new):
        return
    plan = chosen.find()
    renaming.check_name(plan.name, plan.spec.name, new)
    location = renaming.renamed_location(plan.location, new)
    found = stored_study.read(plan)
    renamed = dataclasses.replace(
        found.plan, name=new, folder=location.folder, storage_url=location.url
    )
    kept: list[str] = []
    renaming.rename(
        plan.location, location, write_files=lambda: kept.extend(_write_files(found, renamed))
    )
    from studies.report.index_page import INDEX, write_index

    if (location.folder.parent / INDEX).is_file():
        write_index(location.folder.parent)
    typer.echo(f"{plan.name} is called {new}: {from_here(location.folder)}")
    if kept:
        typer.echo(
            f"{counted(len(kept), 'file')} could not be written again, and may have the old name:"
            f" {', '.join(kept)}"
        )
    typer.echo(f"resume it or show its result with: {renamed.commands.run()}")


def _finish(chosen: options.Chosen, new: str) -> bool:
    """Finish a rename that was killed after the study had its new name; return whether one was."""
    from studies.planning import lookup
    from studies.protocol import renaming

    if Path(new).name != new:
        raise ConfigError(f"NEW: must be a name, not a path, but got {new!r}")
    name = lookup.name_of(chosen.study, quick=chosen.quick)
    if name is None and os.sep in chosen.study:
        folder = Path(chosen.study).absolute().with_name(new)
    else:
        folder = options.results(chosen.conf, chosen.assignments) / new
    left = renaming.unfinished(name or Path(chosen.study).name, folder)
    if left is None or _is_there(chosen, new):
        return False
    renaming.finish(left, chosen.find(str(folder)).location)
    typer.echo(f"finished: {left.names[-1]} is called {new}")
    return True


def _is_there(chosen: options.Chosen, new: str) -> bool:
    """Return whether the old study is there still, under its old name."""
    from studies.analysis import stored_study

    try:
        plan = chosen.find(silent=True)
    except UserError:
        return False
    return plan.name != new and stored_study.exists(plan.location)


def _write_files(found: "Stored", plan: "Plan") -> list[str]:
    """Write the files that name the study again, under its new name; return those that stay."""
    from mnist_core.files import write_atomically
    from studies.analysis import export
    from studies.core.json_text import json_text
    from studies.report import page as html
    from studies.report.result_json import FILE as RESULT
    from studies.report.result_json import result_json
    from studies.report.table import markdown

    folder, result = plan.folder, found.result
    if not folder.is_dir():
        return []
    if result is not None:
        result = dataclasses.replace(result, plan=plan)
    now = dataclasses.replace(found, plan=plan, result=result)

    def page() -> None:
        path = folder / html.REPORT
        quick = "Their images are added by" in path.read_text(encoding="utf-8", errors="replace")
        html.write([html.gather(now, quick=quick)], path)

    writers: dict[str, Callable[[], object]] = {html.REPORT: page}
    if result is not None:
        made = result
        writers[export.FILE] = lambda: export.write_best_config(made)
        writers["report.md"] = lambda: write_atomically(folder / "report.md", markdown(made))
        writers[RESULT] = lambda: write_atomically(
            folder / RESULT, json_text(result_json(made)) + "\n"
        )
    for file in folder.glob("trial_*.toml"):
        if match := _TRIAL.fullmatch(file.name):
            number = int(match[1])
            writers[file.name] = partial(export.write_trial, now, number)
    kept = []
    # The page last: it shows what the others hold.
    for name, write in reversed(writers.items()):
        if (folder / name).is_file():
            try:
                write()
            except UserError:
                kept.append(name)
    return kept
