"""``python -m studies replay STUDY``: does the recorded order lead to the same trials again?

python -m studies replay optim_search
"""

import tempfile
from pathlib import Path

import typer

from mnist_core.counting import counted
from studies import cli


def replay_command(
    study: cli.RunStudyArgument,
    dataset: cli.DatasetOption = None,
    assignments: cli.SetOption = None,
    conf: cli.ConfOption = None,
    quick: cli.QuickOption = False,
) -> None:
    """Replay the order in which a search went, and compare each proposal and each answer.

    Nothing is trained and the study is not changed: the sampler proposes each trial from the same
    history, and the pruner decides upon each report. Exit code 1 where something differs; the first
    difference is named.
    """
    plan = cli.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
    import optuna

    from studies.book import stored
    from studies.replaying import replay
    from studies.storages.storage import close_storage, open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(plan.storage_url, create=False)
    try:
        plan = stored.read(plan, storage).comparable().plan
        search = optuna.load_study(study_name=plan.name, storage=storage)
        with tempfile.TemporaryDirectory() as folder:
            found = replay(plan, search, Path(folder))
    finally:
        close_storage(storage)
    typer.echo(
        f"{plan.name}: replayed in the recorded order; {counted(found.proposals, 'proposal')} and"
        f" {counted(found.decisions, 'answer')} to reports are the same"
    )
    if found.untold:
        typer.echo(
            f"{counted(found.untold, 'answer')} cannot be told: a run was killed then, and it"
            " is not known"
            " what had been reported"
        )
