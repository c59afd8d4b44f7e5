"""Trials that only sleep, by as many local workers as asked for; for ``scale.py``.

    python benchmarks/ours/crowd_once.py --workers 200 --trials 400 --seconds 5 --folder NEW_FOLDER

What is measured is what a crowd of workers costs the process that leads the study, and the memory.
The last line of its output is JSON.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from nothing import Nothing
from ray_scale_once import Clocked, make_plan

from studies import engines
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage


def memory(processes: list[psutil.Process]) -> int:
    """Return the bytes of ``processes``, where a page that several share is counted once in all."""
    return sum(process.memory_full_info().pss for process in processes)


def run(workers: int, trials: int, reports: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Run them; return what happened."""
    me = psutil.Process()
    plan = make_plan(folder, trials)
    plan.folder.mkdir(parents=True)
    storage = open_storage(plan.storage_url, create=True)
    imports = me.memory_info().rss
    begun = time.monotonic()
    most = 0

    class Watched(Clocked):
        """Looks at the memory when half of the trials are over."""

        def __init__(self, book: Any) -> None:
            super().__init__(book)
            note = self.finish

            def noted(*over: Any) -> None:
                nonlocal most
                note(*over)
                if len(self.times) == trials // 2:
                    most = memory(me.children(recursive=True))

            self.finish = noted

    with (
        engines.create("local", workers=workers, threads=1) as engine,
        open_search(plan, storage) as book,
    ):
        watched = Watched(book)
        engine.run(watched, Nothing(reports=reports, seconds=seconds))  # type: ignore[arg-type]
        records = book.records()
    ended = time.monotonic()
    close_storage(storage)
    first = watched.times[0] - seconds
    return {
        "states": Counter(record.state for record in records),
        "numbers": sorted(record.number for record in records) == list(range(trials)),
        "start": first - begun,
        "end": ended - watched.times[-1],
        "per_second": trials / (watched.times[-1] - first),
        "supervisor": (watched.cpu[-1] - watched.cpu[0]) / (trials - 1),
        "supervisor_mib": (me.memory_info().rss - imports) / 2**20,
        "workers_mib": most / 2**20,
    }


def main() -> None:
    """Run them, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--reports", type=int, default=5, help="of a trial")
    parser.add_argument("--seconds", type=float, required=True, help="that a trial sleeps")
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    print(json.dumps(run(args.workers, args.trials, args.reports, args.seconds, args.folder)))


if __name__ == "__main__":
    main()
