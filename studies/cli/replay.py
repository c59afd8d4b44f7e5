"""``python -m studies replay STUDY``: does the recorded order lead to the same trials again?

python -m studies replay optim_search
"""

import tempfile
from pathlib import Path

import typer

from mnist_core.console.plain_text import counted
from studies.cli import options


def replay_command(
    study: options.RunStudyArgument,
    dataset: options.DatasetOption = None,
    assignments: options.SetOption = None,
    conf: options.ConfOption = None,
    quick: options.QuickOption = False,
) -> None:
    """Replay the order in which a search went, and compare each proposal and each answer.

    Nothing is trained and the study is not changed: the sampler proposes each trial from the same
    history, and the pruner decides upon each report. Exit code 1 where something differs; the first
    difference is named.
    """
    plan = options.find(study, conf=conf, assignments=assignments, quick=quick, dataset=dataset)
    import optuna

    from studies.analysis import stored_study
    from studies.protocol.replay import replay
    from studies.storage.open import close_storage, load_study, open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(plan.storage_url, create=False)
    try:
        plan = stored_study.read(plan, storage).comparable().plan
        search = load_study(plan.name, storage)
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
