"""What a study's storage costs as the study grows: SQLite, Optuna's journal, PostgreSQL.

    python benchmarks/storage.py --postgres postgresql+psycopg://me@host/db     # about 10 minutes
    python benchmarks/storage.py --quick                                        # up to 1,000 trials
    python benchmarks/storage.py --record                                       # in RESULTS.md, too

Studies of 10, 1,000 and 10,000 trials of ``optim_search`` (random params, 5 reports, a third of
them pruned) are written into each storage. Then, in a fresh process (``ours/storage_once.py``), the
book is opened on it and some trials go through it, as the engine would have them do but with
nothing trained: ask, 5 reports, finish, with the study's default pruner. Printed are medians, and
the longest:

* ask, report, finish, in milliseconds; a report is the pruner's decision and the write. ``trial``
  is ask + 5 reports + finish.
* resume, in seconds: the plan resolved, the storage opened, all trials read. Python's imports are
  not in it.
* memory of the process at the end, less what the imports took, in MiB.

Both with random sampling, so that what is seen is the storage and the book, and with TPE, whose own
work grows with the trials; the difference is the sampler's. PostgreSQL is left out without a URL;
in that database a schema is made for each size, and dropped. ``--now`` does not wait for a quiet
machine: to look at the growth within one run, not for the record.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import measure
from measure import Result

STUDY = "optim_search"
SIZES = (10, 1_000, 10_000)
SAMPLERS = ("random", "tpe")
REPORT_MS, RESUME_S = 10.0, 5.0


def fill(url: str, size: int) -> None:
    """Write a study of ``size`` finished trials to the SQLite file of ``url``."""
    import optuna
    from ours.storage_once import study_plan

    from studies.planning.fingerprint import check_fingerprint
    from studies.search.sources import SearchSource
    from studies.storage.open import close_storage, open_storage
    from studies.storage.sql import SqlStorage
    from studies.storage.sql_writing import insert_trials

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = study_plan(url, "random")
    source, rng = SearchSource(plan), random.Random(0)
    began = datetime(2026, 1, 1)
    trials = []
    sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for number in range(size):
        if number % 200 == 0:  # or each trial would go through all before it
            sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(number))
        asked = sampled.ask()
        source.suggest(asked)
        trial = sampled._storage.get_trial(asked._trial_id)
        pruned = number % 3 == 2
        steps = range(1, 3 if pruned else 6)
        trial.number = number
        trial.intermediate_values = {step: 0.9 + rng.random() / 10 for step in steps}
        value = trial.intermediate_values[steps[-1]]
        trial.state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
        trial.values = [value]
        trial.datetime_start = began + timedelta(seconds=10 * number)
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=9)
        metrics = {"val_accuracy": value, "val_loss": 1 - value}
        trial.user_attrs = {"seed": number, "attempt": 0, "metrics": metrics, "seconds": 9.0}
        trials.append(trial)
    storage = open_storage(url, create=True)
    assert isinstance(storage, SqlStorage)
    study = optuna.create_study(
        study_name=plan.name, storage=storage, direction=plan.spec.direction
    )
    check_fingerprint(study, plan.fingerprint())
    with storage.engine.begin() as connection:
        insert_trials(connection, study._study_id, trials)
    close_storage(storage)


@contextmanager
def schema(url: str, name: str) -> Iterator[str]:
    """Make a schema in PostgreSQL, yield a URL that leads into it, and drop it."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"CREATE SCHEMA {name}"))
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text(f"DROP SCHEMA {name} CASCADE"))
    finally:
        engine.dispose()


def measured(
    kind: str, url: str, base: str, size: int, trials: int, run: Callable[..., Result]
) -> list[Result]:
    """Copy the study at ``base`` to ``url`` and measure it there, with each sampler."""
    from studies.storage.copying import copy_study

    began = time.perf_counter()
    copy_study("optim_search", source=base, target=url)
    copied = time.perf_counter() - began
    found = []
    for sampler in SAMPLERS:
        measure.say(f"{kind}, {size:,} trials, {sampler}")
        arguments = [url, "--sampler", sampler, "--trials", trials]
        result = run("ours/storage_once.py", arguments)
        found.append({**result, "kind": kind, "size": size, "sampler": sampler, "copy_s": copied})
    return found


def cells(result: Result) -> list[str]:
    """Return a row of the table."""
    times = [f"{result[name]:.1f} ({result[name + '_most']:.0f})" for name in NAMES]
    return [
        f"{result['kind']}, {result['sampler']}",
        f"{result['size']:,}",
        *times,
        f"{result['trial']:.0f}",
        f"{result['resume_s']:.2f}",
        f"{result['memory_mib'] - result['imports_mib']:.0f}",
        f"{result['copy_s']:.1f}",
        f"{100 * result['others']:.0f} %",
    ]


NAMES = ("ask", "report", "finish")
HEADER = (
    "storage, sampler",
    "trials",
    *(f"{name} ms (most)" for name in NAMES),
    "trial ms",
    "resume s",
    "memory MiB",
    "copied in s",
    "others' load",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--postgres", metavar="URL", help="an empty database that may be used")
    parser.add_argument("--quick", action="store_true", help="10 and 1,000 trials, 10 measured")
    parser.add_argument("--now", action="store_true", help="do not wait for a quiet machine")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    arguments = parser.parse_args()
    sizes = SIZES[:2] if arguments.quick else SIZES
    trials = 10 if arguments.quick else 30
    run = measure.run_program if arguments.now else measure.run_undisturbed
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            measure.say(f"writing {size:,} trials")
            base = f"sqlite:///{folder}/base{size}.db"
            fill(base, size)
            for kind in ("sqlite", "journal"):
                url = f"{kind}:///{folder}/{kind}{size}"
                results += measured(kind, url, base, size, trials, run)
            if arguments.postgres:
                with schema(arguments.postgres, f"benchmark_{size}") as url:
                    results += measured("postgresql", url, base, size, trials, run)
    text = report(results)
    print(text)
    if arguments.record:
        measure.record("storage", text)


def report(results: list[Result]) -> str:
    """Return the table, the verdicts and the conditions."""
    kinds = list(dict.fromkeys(result["kind"] for result in results))
    samplers = list(dict.fromkeys(result["sampler"] for result in results))
    ordered = sorted(
        results,
        key=lambda r: (samplers.index(r["sampler"]), kinds.index(r["kind"]), r["size"]),
    )
    lines = [measure.table(HEADER, [cells(result) for result in ordered]), ""]
    for kind in kinds:
        of_kind = [r for r in results if r["kind"] == kind and r["sampler"] == "random"]
        for result in (of_kind[0], of_kind[-1]):
            what = f"{kind}, report at trial {result['size']:,}, random"
            value = result["report"]
            lines.append(measure.verdict(what, value, REPORT_MS, unit=" ms", at_most=True))
        what = f"{kind}, resume of {of_kind[-1]['size']:,} trials"
        resume: Any = of_kind[-1]["resume_s"]
        lines.append(measure.verdict(what, resume, RESUME_S, unit=" s", at_most=True))
    if "postgresql" not in kinds:
        lines.append("PostgreSQL: not measured, no --postgres URL was given")
    return "\n".join([*lines, "", measure.environment(measure.cpu_name())])


if __name__ == "__main__":
    sys.exit(main())
