"""``python -m studies copy STUDY --to URL``: copy a study to another storage."""

import dataclasses
from typing import Annotated

import typer

from mnist_core.console.plain_text import counted
from mnist_core.files import from_here
from studies.cli import options


@options.on_study(without=["dataset"])
def copy_command(
    chosen: options.Chosen,
    to: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="sqlite:///FILE, journal:///FILE or postgresql+psycopg://USER@HOST/DATABASE",
        ),
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="where it is; left out: storage.url"),
    ] = None,
) -> None:
    """Copy a study (search and confirmation) to another storage, and check the copy.

    The study itself stays where it is. A study of that name in the other storage is not
    overwritten, and a copy that fails leaves nothing. Models and reports stay in the study's
    results folder.

    Examples:
        python -m studies copy optim_search --to postgresql+psycopg://me@host/db

        python -m studies copy optim_search --from journal:///a --to sqlite:///b
    """
    if from_ is not None:
        given = [*(chosen.assignments or []), f"storage.url={from_}"]
        chosen = dataclasses.replace(chosen, assignments=given)
    plan = chosen.find()
    from studies.planning.settings import SET
    from studies.storage.copying import copy_study
    from studies.storage.open import check_url, shown

    source = from_ or plan.storage_url
    check_url(source)
    check_url(to)
    for content in copy_study(plan.name, source=source, target=to):
        trials = counted(len(content.trials), "trial")
        typer.echo(f"copied {content.name}: {trials}, compared with the source")
    places, how = {"storage.url": to}, "resume it there with:"
    if not plan.commands.resumable:
        places["results.folder"] = str(plan.folder.parent)
        folder = from_here(plan.folder)
        how = f"to resume it there, call its folder {folder} {plan.name} again, then:"
    there = dataclasses.replace(
        plan,
        settings=plan.settings.override(places),
        origins={**plan.origins, **dict.fromkeys(places, SET)},
    )
    typer.echo(f"{shown(source)} -> {shown(to)}; {how} {there.commands.run()}")
