"""A fixed list of trials through our harness, timed: our side of ``benchmarks/study.py``.

    python benchmarks/ours/study_once.py --trials trials.json --epochs 5 --folder NEW_FOLDER

It is the search of ``optim_search`` as ``studies.run`` does it (book, SQLite, TPE, an engine),
only that every trial is enqueued with all its parameters, nothing is pruned, and the training is
what the peer's is: ``net`` at batch 64, no augmentation, no label smoothing. The last line of its
output is JSON: one entry a trial with its times, and what the supervisor did.
"""

import argparse
import dataclasses
import gc
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core.config import AugmentConfig
from search_spaces.space import Float, Space
from studies import engines
from studies.planning.plan import Plan, resolve


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedPlan(Plan):
    """A plan in which nothing is left to the sampler."""

    fixed: Sequence[Mapping[str, Any]]

    def required_params(self, number: int) -> dict[str, Any]:
        """Return all parameters of trial ``number``; none of one that there is not to be."""
        return dict(self.fixed[number]) if number < len(self.fixed) else {}


def make_plan(args: argparse.Namespace, trials: Sequence[Mapping[str, Any]]) -> FixedPlan:
    """Return the plan of ``optim_search`` with ``trials`` as its trials."""
    plan = resolve(
        "optim_search",
        sets={
            "data.name": args.data,
            "data.root": args.data_root,
            "device": args.device,
            "epochs": args.epochs,
            "batch_size": 64,
            "model.name": "net",
            "label_smoothing": 0.0,
            **{f"augment.{key}": value for key, value in AugmentConfig().model_dump().items()},
            "search.trials": len(trials),
            "search.trials_per_choice": 0,
            "search.pruner": "none",
            "engine.workers": args.workers,
            "engine.threads": 1,
            "results.folder": str(args.folder),
        },
    )
    spec = dataclasses.replace(plan.spec, space=widened(plan.spec.space, trials))
    values = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    made = FixedPlan(**{**values, "spec": spec}, fixed=trials)
    for trial in trials:
        made.spec.space.check(trial)
    return made


def widened(space: Space, trials: Sequence[Mapping[str, Any]]) -> Space:
    """Return ``space`` with ranges that hold ``trials``, so that the list outlives its changes."""
    parameters = dict(space.parameters)
    for name, parameter in parameters.items():
        values = [trial[name] for trial in trials if name in trial]
        if isinstance(parameter, Float) and values:
            low, high = min(parameter.low, *values), max(parameter.high, *values)
            parameters[name] = dataclasses.replace(parameter, low=low, high=high)
    return Space(parameters)


def main() -> None:
    """Run the list, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--device", default="cpu", help="of all workers; they share it")
    parser.add_argument("--data", default="mnist-10pct")
    parser.add_argument("--data-root", default="")
    args = parser.parse_args()
    plan = make_plan(args, json.loads(args.trials.read_text()))
    with engines.create(
        args.engine, workers=plan.workers, threads=plan.threads, preload=["mnist_core.train"]
    ) as engine:
        up = time.monotonic()
        plan = engines.adapted(plan, engine)
        # Imported when the workers are under way, as studies.run does.
        from timed import CLOCK, TimedBook, TimedClassification

        from studies.cli.foreground import with_data
        from studies.ledger.opening import open_search
        from studies.storage.open import close_storage, open_storage

        plan = with_data(plan, engine)
        plan.folder.mkdir(parents=True)
        storage = open_storage(plan.storage_url, create=True)
        with open_search(plan, storage) as book:
            timed = TimedBook(book)
            cpu = time.process_time()
            engine.run(timed, TimedClassification(plan.train, plan.spec.space))
            supervisor = {
                "cpu_seconds": time.process_time() - cpu,
                "book": dict(timed.seconds),
            }
            records = book.records()
        close_storage(storage)
    trials = [
        {
            "number": record.number,
            "state": record.state,
            "value": record.value,
            "images": record.attributes.get("images"),
            **record.attributes.get(CLOCK, {}),
        }
        for record in records
    ]
    found = {"trials": trials, "workers": plan.workers, "supervisor": supervisor, "up": up}
    print(json.dumps(found))
    gc.freeze()  # as studies.run does


if __name__ == "__main__":
    main()
