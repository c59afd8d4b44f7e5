"""``python -m studies sync STUDY``: give trackers what they miss of a study, and upload it."""

from typing import Annotated

import typer

from mnist_core.console.plain_text import safe_lines
from studies.cli import options


@options.on_study()
def sync_command(
    chosen: options.Chosen,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="NAME",
            help="wandb, tensorboard or mlflow (may be repeated); left out: tracking.trackers",
        ),
    ] = None,
    upload: Annotated[
        bool, typer.Option("--upload/--no-upload", help="send W&B's offline runs to the server")
    ] = True,
) -> None:
    """Replay a study's events to trackers that missed some, then upload W&B's offline runs.

    A tracker gets each trial once: only trials that it misses, or has in part, are written. It also
    works for studies that were run without trackers.

    Examples:
        python -m studies sync optim_search

        python -m studies sync optim_search --tracker mlflow
    """
    plan = chosen.find()
    from mnist_core.errors import UserError
    from mnist_core.files import prepare_folder
    from studies.analysis import stored_study
    from studies.core.events import Event
    from studies.report.table import result_event
    from studies.storage.belonging import check_owner
    from studies.storage.open import shown
    from studies.tracking import check
    from studies.tracking.process import TrackerProcesses
    from studies.tracking.recording import Recording
    from studies.tracking.wandb_upload import upload as upload_runs

    names = check(tracker or plan.settings.tracking.trackers, source="--tracker")
    if not names:
        raise UserError(
            f"study {plan.name} has no tracker (tracking.trackers is empty); name one:"
            f" {plan.commands.look('sync', '--tracker', 'wandb')}"
        )
    # Trackers write the names of the settings: those of another space would be wrong.
    found = stored_study.read(plan).comparable()
    holder = stored_study.supervisor(plan.location)
    if holder is not None:
        raise UserError(
            f"study {plan.name!r} is being run by process {holder.pid} on {holder.host}, which"
            " keeps its trackers up to date; run sync when it has ended"
        )
    # Also where the database names no identity: another program's study has none.
    check_owner(found.plan.folder, found.identity, shown(found.plan.storage_url))
    prepare_folder(found.plan.folder, "results.folder")
    failed = []

    def tell(name: str, line: str) -> None:
        typer.echo(safe_lines(f"{name + ':':<20}{line}"))

    processes = TrackerProcesses(
        names,
        found.plan.folder,
        found.plan.settings.tracking,
        sync=found.plan.commands.look("sync"),
        seconds=3600,
    )
    with Recording(found.plan, typer.echo, tell, trackers=processes) as recording:
        recording(Event(kind="study", phase="", data={"id": found.identity}))
        result = found.result
        if found.phase == "finished" and result is not None:
            recording.conclude(result, result_event(result))
        else:
            recording.fill()
        failed += processes.start()
    failed += [name for name in names if not processes.complete(name)]
    if upload and "wandb" in names:
        upload_runs(found.plan.folder / "wandb", lambda line: tell("wandb", line))
    if failed:
        raise typer.Exit(1)
