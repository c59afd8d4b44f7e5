"""One cell of ``benchmarks/storage.py``: resume a study, run some trials through the book.

The trials train nothing. Prints one JSON object; times in milliseconds, memory in MiB.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import optuna
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from objectives.base import Outcome, Task
from studies.ledger import opening as book
from studies.planning import plan
from studies.planning.plan import Plan
from studies.storage.open import close_storage, open_storage

STEPS = 5
TOTAL = 100_000
"""Trials that the study is to come to: there is always a next one."""

T = TypeVar("T")


def study_plan(url: str, sampler: str) -> Plan:
    """Return the plan of ``optim_search`` at ``url``, without limits that would end it."""
    sets = {"search.trials": TOTAL, "search.sampler": sampler, "storage.url": url}
    return plan.resolve("optim_search", sets=sets).with_data("benchmark")


def main() -> None:
    """Resume, run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--sampler", required=True)
    parser.add_argument("--trials", type=int, required=True)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    process = psutil.Process()
    before = process.memory_info().rss
    rng = random.Random(0)
    asks: list[float] = []
    reports: list[float] = []
    finishes: list[float] = []

    def timed(into: list[float], call: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = call()
        into.append(1000 * (time.perf_counter() - began))
        return done

    began = time.perf_counter()
    resolved = study_plan(arguments.url, arguments.sampler)
    storage = open_storage(arguments.url, create=True)
    opened = book.open_search(resolved, storage)
    resume = time.perf_counter() - began
    there = opened.done
    with opened:
        for _ in range(arguments.trials):
            task = timed(asks, opened.ask)
            assert task is not None
            opened.started(task, 0)
            value = 0.0
            for step in range(1, STEPS + 1):
                value = rng.random() / 10 + 0.9

                metrics = {"val_accuracy": value, "val_loss": 1 - value}

                def report(of: Task = task, at: int = step, told: Any = metrics) -> None:
                    opened.report(of, at, told)
                    opened.flush()

                timed(reports, report)
            outcome = Outcome(
                metrics={"val_accuracy": value, "val_loss": 1 - value},
                attributes={"device": "cpu", "threads": 1},
            )
            timed(finishes, lambda done=outcome, of=task: opened.finish(of, done))
    memory = process.memory_info().rss
    close_storage(storage)
    result: dict[str, Any] = {
        "trials_there": there,
        "resume_s": resume,
        "memory_mib": memory / 2**20,
        "imports_mib": before / 2**20,
    }
    for name, times in (("ask", asks), ("report", reports), ("finish", finishes)):
        result[name] = statistics.median(times)
        result[f"{name}_most"] = max(times)
    result["trial"] = result["ask"] + STEPS * result["report"] + result["finish"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
