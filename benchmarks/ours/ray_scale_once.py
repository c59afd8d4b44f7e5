"""Trials that do nothing, on a Ray cluster of several nodes on this machine; for ``ray_tune.py``.

    python benchmarks/ours/ray_scale_once.py --nodes 4 --trials 500 --folder NEW_FOLDER
    python benchmarks/ours/ray_scale_once.py --address HOST:PORT --places 16 --folder NEW_FOLDER

The second is for a cluster that is there; else every node has one place. A trial makes its reports
and does nothing else, so what is measured is what a trial costs the driver (Tune, the book, SQLite)
and Ray's GCS. The last line of its output is JSON.
"""

import argparse
import json
import os
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from nothing import Nothing
from timed import TimedBook

from objectives.base import Outcome, Task
from studies import engines
from studies.engines.base import Resources
from studies.planning.plan import Plan, resolve
from studies.planning.ray_settings import RaySettings

STORE = 80 * 1024**2
"""Bytes of a node's object store, the least that Ray allows."""

REGISTER = 600
"""Seconds for a node to start; Ray's own limit is for nodes that have a machine of their own."""

IDLE = 5.0
"""Seconds for which it is looked what the GCS does when no trial runs."""


def make_plan(folder: Path, trials: int) -> Plan:
    """Return the plan of a study whose sampler costs nothing."""
    settings = {"search.trials": trials, "search.sampler": "random", "search.pruner": "none"}
    settings |= {"device": "cpu", "results.folder": str(folder)}
    return resolve("optim_search", sets=settings).with_data("none")


def start_cluster(nodes: int) -> Any:
    """Return a Ray cluster of so many nodes, each with one place."""
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_agent_register_timeout_ms": str(1000 * REGISTER),
    }
    from ray.cluster_utils import Cluster

    class Patient(Cluster):
        """Waits for its nodes as long as it takes."""

        def _wait_for_node(self, node: Any, timeout: float = REGISTER) -> None:
            super()._wait_for_node(node, timeout)

    node = {"num_cpus": 1, "object_store_memory": STORE}
    head = {**node, "include_dashboard": False}
    cluster = Patient(initialize_head=True, head_node_args=head)
    for _ in range(nodes - 1):
        cluster.add_node(**node)
    return cluster


def gcs_seconds() -> float:
    """Return the CPU seconds that Ray's GCS, of which a cluster has one, has taken so far."""
    every = psutil.Process().children(recursive=True)
    used = [child.cpu_times() for child in every if child.name().startswith("gcs_server")]
    return sum(times.user + times.system for times in used)


class Clocked(TimedBook):
    """A book that notes when each trial was over.

    Attributes:
        times: of ``time.monotonic``.
        cpu: the driver's CPU seconds then.
    """

    def __init__(self, book: Any) -> None:
        super().__init__(book)
        self.times: list[float] = []
        self.cpu: list[float] = []
        finish = self.finish

        def clocked(task: Task, outcome: Outcome) -> None:
            finish(task, outcome)
            self.times.append(time.monotonic())
            self.cpu.append(time.process_time())

        self.finish = clocked


def run(address: str, places: int, trials: int, reports: int, folder: Path) -> dict[str, Any]:
    """Run them on the cluster at ``address``; return what happened."""
    from studies.ledger.opening import open_search
    from studies.storage.open import close_storage, open_storage

    plan = make_plan(folder, trials)
    plan.folder.mkdir(parents=True)
    storage = open_storage(plan.storage_url, create=True)
    begun = time.monotonic()
    resources = Resources(ray=RaySettings(address=address))
    with (
        engines.create("ray", workers=places, threads=1, resources=resources) as engine,
        open_search(plan, storage) as book,
    ):
        joined = time.monotonic() - begun
        before = gcs_seconds()
        time.sleep(IDLE)
        idle = (gcs_seconds() - before) / IDLE
        clocked = Clocked(book)
        engine.run(clocked, Nothing(reports=reports))  # type: ignore[arg-type]
        used = gcs_seconds() - before - IDLE * idle
        records = book.records()
    close_storage(storage)
    # From when every place has had one trial: before that, workers are being started.
    times, cpu = clocked.times[places:], clocked.cpu[places:]
    last = max(2, len(cpu) // 10)
    return {
        "states": Counter(record.state for record in records),
        "numbers": sorted(record.number for record in records) == list(range(trials)),
        "per_second": (len(times) - 1) / (times[-1] - times[0]),
        "driver": (cpu[-1] - cpu[0]) / (len(cpu) - 1),
        "late": (cpu[-1] - cpu[-last]) / (last - 1),
        "book": sum(clocked.seconds.values()) / trials,
        "gcs": used / trials,
        "gcs_idle": idle,
        "joined": joined,
    }


def main() -> None:
    """Run them, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--address", default="", help="of a cluster that is there")
    parser.add_argument("--places", type=int, default=1, help="of that cluster")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--reports", type=int, default=2, help="of a trial")
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    folder = args.folder.absolute()
    if args.address:
        print(json.dumps(run(args.address, args.places, args.trials, args.reports, folder)))
        return
    cluster = start_cluster(args.nodes)
    try:
        found = run(cluster.address, args.nodes, args.trials, args.reports, folder)
    finally:
        cluster.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
