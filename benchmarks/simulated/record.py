"""Recording the table: full, unpruned trainings of random configurations of a study."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from mnist_core.device import runtime
from simulated.table import Recorded, Table
from studies import engines
from studies.cli.foreground import with_data
from studies.core.trials import TrialRecord
from studies.ledger.opening import open_search
from studies.planning.plan import Plan, resolve
from studies.protocol.objective import build_objective, limits
from studies.storage.open import close_storage, open_storage


def record(study: str, folder: Path, per_choice: int, say: Callable[[str], None]) -> Table:
    """Train ``per_choice`` random configurations of each choice, and its default one, to the end.

    It is a search of the study with the sampler ``random`` and no pruner, by this project's own
    engine. So it can be ended at any time, and the same call goes on where it was.

    Args:
        study: its name.
        folder: where the search is kept.
        per_choice: random configurations of each choice of the scientific parameter.
        say: told of each training.
    """
    plan = plan_of(study, folder, per_choice)
    with engines.create(
        plan.settings.engine.name,
        workers=plan.workers,
        threads=plan.threads,
        preload=["mnist_core.train"],
    ) as engine:
        plan = with_data(plan, engine)
        storage = open_storage(plan.storage_url, create=True)
        try:
            with open_search(plan, storage) as book:
                book_size = book.total
                say(f"{book.done} of {book_size} trainings are there; Ctrl-C and go on as you like")
                engine.run(book, build_objective(plan, None), limits(plan))
                return to_table(plan, book.records())
        finally:
            close_storage(storage)


def plan_of(study: str, folder: Path, per_choice: int) -> Plan:
    """Return the plan of the recording; one that has no data yet."""
    spec = resolve(study, sets={}).spec
    return resolve(
        study,
        sets={
            "search.sampler": "random",
            "search.pruner": "none",
            "search.trials": len(spec.choices) * (1 + per_choice),
            "search.trials_per_choice": 1 + per_choice,
            "results.folder": str(folder),
        },
    )


def to_table(plan: Plan, records: list[TrialRecord]) -> Table:
    """Return the trainings among ``records`` that are over."""
    reports = plan.train.epochs * plan.train.reports_per_epoch
    names = ("torch", "optuna")
    return Table(
        plan.spec.space,
        plan.spec.scientific,
        reports,
        [
            Recorded(
                params=record.params,
                curve=tuple(record.curve.values()),
                default=record.number < len(plan.spec.choices),
            )
            for record in records
            if record.state in ("COMPLETE", "FAIL")
        ],
        {
            "study": plan.spec.name,
            "metric": f"{plan.spec.metric} after each epoch",
            "data": plan.train.data.name,
            "fingerprint": plan.fingerprint()[0][:16],
            "machine": runtime.cpu_name(),
            "versions": {name: version(name) for name in names},
        },
    )
