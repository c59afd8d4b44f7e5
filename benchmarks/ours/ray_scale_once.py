"""Trials that do nothing, on a Ray cluster of several nodes on this machine; for ``ray_tune.py``.

    python benchmarks/ours/ray_scale_once.py --nodes 4 --trials 500 --folder NEW_FOLDER

Every node has one place. A trial makes two reports and does nothing else, so what is measured is
what a trial costs the driver (Tune, the book, SQLite). The last line of its output is JSON.
"""

import argparse
import json
import os
import secrets
import time
from collections import Counter
from pathlib import Path

from nothing import Nothing
from timed import TimedBook

from objectives.base import Outcome, Task
from studies import engines
from studies.engines.base import Resources
from studies.planning.plan import Plan, resolve
from studies.planning.ray_settings import RaySettings


def make_plan(folder: Path, trials: int) -> Plan:
    """Return the plan of a study whose sampler costs nothing."""
    settings = {"search.trials": trials, "search.sampler": "random", "search.pruner": "none"}
    settings |= {"device": "cpu", "results.folder": str(folder)}
    return resolve("optim_search", sets=settings).with_data("none")


def main() -> None:
    """Run them, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each report")
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    from studies.book.opening import open_search
    from studies.storages.storage import close_storage, open_storage

    plan = make_plan(args.folder.absolute(), args.trials)
    plan.folder.mkdir(parents=True)
    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(args.nodes - 1):
            cluster.add_node(num_cpus=1)
        storage = open_storage(plan.storage_url, create=True)
        begun = time.monotonic()
        resources = Resources(ray=RaySettings(address=cluster.address))
        with (
            engines.create("ray", workers=args.nodes, threads=1, resources=resources) as engine,
            open_search(plan, storage) as book,
        ):
            started = time.monotonic() - begun
            times: list[float] = []
            timed = TimedBook(book)
            finish = timed.finish

            def clocked(task: Task, outcome: Outcome) -> None:
                finish(task, outcome)
                times.append(time.monotonic())

            timed.finish = clocked  # type: ignore[method-assign]
            cpu = time.process_time()
            engine.run(timed, Nothing(args.pause))  # type: ignore[arg-type]
            cpu = time.process_time() - cpu
            records = book.records()
        close_storage(storage)
    finally:
        cluster.shutdown()
    # From when every place has had one trial: before that, workers are being started.
    steady = (len(times) - 1 - args.nodes) / (times[-1] - times[args.nodes])
    print(
        json.dumps(
            {
                "states": Counter(record.state for record in records),
                "numbers": sorted(record.number for record in records) == list(range(args.trials)),
                "per_second": steady,
                "driver_cpu": cpu / args.trials,
                "book": sum(timed.seconds.values()) / args.trials,
                "start": started,
            }
        )
    )


if __name__ == "__main__":
    main()
