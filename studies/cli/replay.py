"""``python -m studies replay STUDY``: does the recorded order lead to the same trials again?"""

import tempfile
from pathlib import Path

import typer

from mnist_core.console.plain_text import counted
from studies.cli import options


@options.on_study()
def replay_command(
    chosen: options.Chosen,
) -> None:
    """Replay a search in its recorded order, and compare each proposal and each answer.

    Nothing is trained and the study is not changed: the sampler proposes each trial from the same
    history, and the pruner answers each report. Exit code 1 if something differs; the first
    difference is named.
    """
    plan = chosen.find()
    from studies.analysis import stored_study
    from studies.protocol.replay import Replay

    with tempfile.TemporaryDirectory() as folder:
        with plan.location.opened(required=True) as studies:
            plan = stored_study.read(plan, studies.storage).comparable().plan
            assert studies.search is not None  # it has been read
            replay = Replay(plan, studies.search, Path(folder))
        found = replay.go()
    typer.echo(
        f"{plan.name}: replayed in the recorded order; {counted(found.proposals, 'proposal')} and"
        f" {counted(found.decisions, 'answer')} to reports are the same"
    )
    if found.untold:
        typer.echo(
            f"{counted(found.untold, 'answer')} cannot be compared: a run was killed then, so it is"
            " not known what had been reported"
        )
