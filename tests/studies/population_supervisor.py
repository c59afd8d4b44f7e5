"""The supervisor of a population, to be killed; its arguments: FOLDER SECONDS."""

import sys
from pathlib import Path

import optuna
from population_toy import population_plan, walk

from studies import engines
from studies.engines.base import Resources
from studies.ledger.opening import open_search
from studies.storage.open import open_storage

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = Path(sys.argv[1])
    plan = population_plan(folder)
    storage = open_storage(plan.storage_url, create=True)
    resources = Resources(ray=plan.settings.engine.ray)
    with engines.create("ray", workers=2, threads=1, resources=resources) as engine:
        plan = engines.adapted(plan, engine)
        with open_search(plan, storage) as book:
            engine.run(book, walk(plan, folder / "trace", seconds=float(sys.argv[2])))
