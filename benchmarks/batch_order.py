"""What batch order costs: how much of the workers' time is spent waiting for the last of a batch.

    python benchmarks/batch_order.py --seeds 5     # some minutes, no training

The default search of ``optim_search`` (its trials, sampler and pruner) is run in virtual time over
recorded curves (``search_table.json``, as for ``search.py``), asynchronously and in batches. An
epoch of a trial takes a time that is drawn once a trial, log-normal with a spread of 20 %, as
trials on one machine differ; nothing else takes any. *Busy* is the share of the workers' time in
which they train, until the last trial of the search is over; the *ratio* of two busy shares is that
of their throughputs.
"""

import argparse
import heapq
import random
import statistics
import tempfile
from pathlib import Path

import measure
from search import STUDY, TABLE

SPREAD = 0.2


def busy(seed: int, workers: int, batch: int, folder: Path) -> tuple[float, int]:
    """Return the busy share of a search, and the epochs that it trained; batch 0: asynchronous."""
    from simulated.loop import METRIC
    from simulated.methods import ours
    from simulated.table import load

    from objectives.base import Outcome
    from studies import catalog
    from studies.core.trials import Failure

    spec = catalog.get(STUDY)
    table = load(TABLE, spec.space, spec.scientific)
    sets = {"search.trials": spec.trials, "engine.workers": 1, "engine.threads": 1}
    if batch:
        sets |= {"search.order": "batch", "search.batch": batch}
    folder.mkdir(parents=True)
    running: list[tuple[float, int, int, object]] = []
    worked, last, epochs, free = 0.0, 0.0, 0, workers

    def pace(number: int) -> float:
        return random.Random(f"{seed} {number}").lognormvariate(0, SPREAD)

    with ours(STUDY, seed, folder, sets) as work:
        now = 0.0
        while True:
            while free and (task := work.ask()) is not None:
                free -= 1
                heapq.heappush(running, (now + pace(task.number), task.number, 1, task))
            if not running:
                return worked / (workers * last), epochs
            now, number, epoch, task = heapq.heappop(running)
            worked += pace(number)
            epochs += 1
            curve, goes_on, metrics = table.curve(task.params), True, {}
            if epoch <= len(curve):
                metrics = {METRIC: curve[epoch - 1]}
                goes_on = work.report(task, epoch, metrics)
                work.flush()
            if epoch > len(curve):
                work.fail(task, Failure(kind="NonFiniteLoss", message="as recorded"))
            elif epoch == table.epochs:
                work.finish(task, Outcome(metrics=metrics))
            elif not goes_on:
                work.finish(task, Outcome(metrics=metrics, stopped=True))
            else:
                heapq.heappush(running, (now + pace(number), number, epoch + 1, task))
                continue
            free, last = free + 1, now


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lines = [
        "| workers | order | busy | ratio to async | epochs trained |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        for workers in args.workers:
            alone = 0.0
            for batch in (0, *args.batches):
                runs = [
                    busy(seed, workers, batch, Path(name) / f"{workers}-{batch}-{seed}")
                    for seed in range(args.seeds)
                ]
                share = statistics.fmean(share for share, _ in runs)
                alone = alone or share
                order = f"batches of {batch}" if batch else "async"
                trained = statistics.fmean(epochs for _, epochs in runs)
                lines.append(
                    f"| {workers} | {order} | {share:.3f} | {share / alone:.3f} | {trained:.0f} |"
                )
                measure.say(lines[-1])
    text = "\n".join([*lines, "", f"{args.seeds} seeds each; means."])
    print(text)
    if args.record:
        measure.record("batch order", text)


if __name__ == "__main__":
    main()
