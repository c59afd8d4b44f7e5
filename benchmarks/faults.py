"""Kill a study at random moments, resume it, and look whether anything was lost or invented.

    python benchmarks/faults.py --record      # 100 runs, about 25 minutes on 2 cores

Each run is a whole study of a toy (``ours/toy_study.py``: search, confirm, test, export; two worker
processes, SQLite) that is killed one to three times by kill -9 and then run to its end:

* worker: one worker process, at a random moment; the study goes on by itself.
* supervisor: the process that writes the study, at a random moment.
* both: a worker, and the supervisor right after it.
* sqlite: the supervisor in the middle of a random write to the database, before its commit.
* export: the supervisor at a random step of writing the result's files;
* log: the supervisor after the database has the end of a trial, before the event log has it;
* fresh, fork, copy: the process that starts a finished study fresh, forks it, or copies it to
  SQLite or a journal, before a random change that this makes to a file or a database. The same
  command, or a run without ``--fresh``, comes next.

Each training follows from its params and seed, and the proposals do not depend on the order in
which trials end. So each run must come to what one without faults comes to: the same trials, values
and curves. Counted are: trials that still claim to run, the number of finished ones, trials that
were finished when the kill came and are gone or changed after it, duplicates, results that differ
from the run without faults, processes left behind, and whether ``best_config.toml`` can be read.
The record of the test set must hold each time that it was read, also before ``--fresh`` or
``--fork``; the event log must hold each end once; a fork or a copy must hold each trial once.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import psutil
from fault_checks import (
    Problem,
    Trials,
    compare,
    compare_events,
    compare_fork,
    read,
    read_config,
    read_storage,
)

from mnist_core.errors import UserError

AFTER = ("fresh", "fork", "copy")
"""Kinds of kills in what is done with a finished study."""

KINDS = ("worker", "supervisor", "both", "sqlite", "export", "log", *AFTER)
PROGRAM = measure.HERE / "ours" / "toy_study.py"
MORE = 2
"""Trials that a fork adds, as ``toy_study.MORE``."""

_LATEST = 600.0
"""Seconds after which a run counts as hung."""


SORTS = ("unfinished", "lost", "changed", "double", "record", "events", "best_config", "other")


@dataclass
class Verdict:
    """What one run came to.

    Attributes:
        kind: of its faults.
        kills: those that hit the study while it ran.
        seconds: of the last part, which resumed the study and brought it to its end.
        finished: trials in the end.
        problems: none if all is well.
    """

    kind: str
    kills: int = 0
    seconds: float = 0.0
    finished: int = 0
    problems: list[Problem] = field(default_factory=list)


def start(folder: Path, die: str = "", *options: str) -> subprocess.Popen[str]:
    """Start the study in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(measure.ROOT)}
    environment["TOY_READINGS"] = str(readings_of(folder))
    command = [sys.executable, str(PROGRAM), "--folder", str(folder), "--die", die, *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def readings_of(folder: Path) -> Path:
    """Return the file that gets a line each time that the test set is read."""
    return folder.with_name(f"{folder.name}.readings")


def count_readings(folder: Path) -> int:
    """Return how often the test set was read, whatever the record says."""
    file = readings_of(folder)
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the worker processes of a supervisor."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end; return exit code, output and errors."""
    try:
        output, errors = process.communicate(timeout=_LATEST)
    except subprocess.TimeoutExpired:
        family: list[subprocess.Popen[str] | psutil.Process] = [process, *workers_of(process)]
        for one in family:
            one.kill()
        output, errors = process.communicate()
        return -1, output, f"hung for {_LATEST:g} s\n{errors}"
    return process.returncode, output, errors


def strike(kind: str, folder: Path, chance: random.Random, whole: "Whole") -> tuple[bool, bool]:
    """Run the study and kill it as ``kind`` says, at a random moment.

    Returns:
        Whether it was hit while it ran, and whether it came to its end all the same.
    """
    if kind in whole.counts:
        process = start(folder, f"{kind}:{chance.randint(1, whole.counts[kind])}")
        code, _, _ = finish(process)
        return code == -9, code == 0
    process = start(folder)
    time.sleep(chance.uniform(0.0, whole.seconds))
    workers = workers_of(process)
    hit = process.poll() is None
    if kind in ("worker", "both") and workers:
        try:
            chance.choice(workers).kill()
        except psutil.NoSuchProcess:
            hit = False
    elif kind == "worker":
        hit = False  # none there yet, or none left
    if kind in ("supervisor", "both"):
        process.kill()
    code, _, _ = finish(process)
    _gone(workers)
    return hit, code == 0


@dataclass(frozen=True)
class Whole:
    """A run without faults.

    Attributes:
        folder: of the study.
        trials: all of it.
        config: its best_config.toml, but for what tells of the run.
        counts: how many writes to the database and steps of the export there were.
        seconds: it took.
    """

    folder: Path
    trials: Trials
    config: Any
    counts: Mapping[str, int]
    seconds: float


def run_whole(folder: Path) -> Whole:
    """Run the study without faults."""
    began = time.monotonic()
    code, output, errors = finish(start(folder))
    if code:
        sys.exit(f"error: the study without faults failed:\n{errors[-3000:]}")
    counts = json.loads(output.splitlines()[-1])
    seconds = time.monotonic() - began
    return Whole(folder, read(folder), read_config(folder), counts, seconds)


def count_steps(kind: str, folder: Path, whole: Whole) -> int:
    """Return how many changes to files and databases the option of ``kind`` makes."""
    code, output, errors = finish(start(finished(folder, whole), "", *_options(kind, folder)))
    if code:
        sys.exit(f"error: {kind} without faults failed:\n{errors[-3000:]}")
    return int(json.loads(output.splitlines()[-1])[kind])


def finished(folder: Path, whole: Whole) -> Path:
    """Return a copy of the whole study, in ``folder``."""
    study = folder / "toy"
    shutil.copytree(whole.folder, study)
    shutil.copy(readings_of(whole.folder), readings_of(study))
    return study


def _options(kind: str, folder: Path) -> list[str]:
    if kind != "copy":
        return [f"--{kind}"]
    journal = folder.name.isdecimal() and int(folder.name) % 2
    name = "journal:///{}/copy.log" if journal else "sqlite:///{}/copy/study.db"
    return ["--copy", name.format(folder)]


def run_once(
    kind: str, folder: Path, chance: random.Random, whole: Whole, *, most: int = 3
) -> Verdict:
    """Kill a study once or up to ``most`` times, bring it to its end, and compare."""
    verdict = Verdict(kind)
    seen: list[Trials] = []
    for _ in range(chance.randint(1, most)):
        hit, ended = strike(kind, folder, chance, whole)
        verdict.kills += hit
        seen.append(read(folder))
        if kind == "worker" and not ended:
            verdict.problems.append(("other", "did not survive the death of a worker"))
    began = time.monotonic()
    code, _, errors = finish(start(folder))
    verdict.seconds = time.monotonic() - began
    if code:
        verdict.problems.append(("other", f"resume failed: {errors.strip().splitlines()[-1:]}"))
    final = read(folder)
    verdict.finished = len(final.results)
    verdict.problems += compare(seen, final, whole.trials)
    verdict.problems += compare_events(folder / "events.jsonl", final)
    readings = count_readings(folder)
    if final.readings < readings:
        text = f"read {readings} times, by the record {final.readings} times"
        verdict.problems.append(("record", text))
    try:
        if read_config(folder) != whole.config:
            verdict.problems.append(("best_config", "best_config.toml differs"))
    except (OSError, ValueError, KeyError, UserError) as error:
        verdict.problems.append(("best_config", f"best_config.toml cannot be read: {error}"))
    return verdict


def run_after(
    kind: str, folder: Path, chance: random.Random, whole: Whole, steps: int, *, most: int = 3
) -> Verdict:
    """Kill what is done with a finished study, do it again, and look what is there then."""
    verdict, study, options = Verdict(kind), finished(folder, whole), _options(kind, folder)
    for _ in range(chance.randint(1, most)):
        code, _, errors = finish(start(study, f"{kind}:{chance.randint(1, steps)}", *options))
        verdict.kills += code == -9
        if code not in (-9, 0) and "holds a study 'toy' already" not in errors:
            verdict.problems.append(("other", f"{kind} failed: {errors.strip().splitlines()[-1:]}"))
    # A --fresh that was killed may also be followed by a run without it.
    last = [] if kind == "fresh" and chance.random() < 0.5 else options
    began = time.monotonic()
    code, _, errors = finish(start(study, "", *last, "--read-test-again"))
    verdict.seconds = time.monotonic() - began
    if code and not (kind == "copy" and "holds a study 'toy' already" in errors):
        verdict.problems.append(("other", f"{kind} failed: {errors.strip().splitlines()[-1:]}"))
    place = {"fresh": study, "fork": study.with_name("toy-wide"), "copy": folder / "copy"}[kind]
    if (folder / "copy.log").exists():
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        final = read_storage(JournalStorage(JournalFileBackend(str(folder / "copy.log"))))
    else:
        final = read(place)
    verdict.finished = len(final.results)
    if kind == "fork":
        verdict.problems += compare_fork(final, read(study), whole.trials)
    else:
        # A fresh start trains again: the same results, but at other times.
        verdict.problems += compare([whole.trials] if kind == "copy" else [], final, whole.trials)
    if kind == "copy":
        wanted = whole.trials.readings
    else:
        wanted = count_readings(study)
        verdict.problems += compare_events(place / "events.jsonl", final)
    if final.readings < wanted:
        text = f"read {wanted} times, by the record {final.readings} times"
        verdict.problems.append(("record", text))
    return verdict


def report(verdicts: Sequence[Verdict], whole: Whole) -> str:
    """Return the table and the verdict."""
    rows, n = [], len(whole.trials.results)
    of_fork = n + MORE
    for kind in (*KINDS, "all"):
        runs = [one for one in verdicts if kind in (one.kind, "all")]
        if not runs:
            continue
        sorts = [sort for one in runs for sort, _ in one.problems]
        rows.append(
            [
                kind,
                str(len(runs)),
                str(sum(one.kills for one in runs)),
                f"{sum(one.finished for one in runs)}/"
                f"{sum(of_fork if one.kind == 'fork' else n for one in runs)}",
                *(str(sorts.count(sort)) for sort in SORTS),
                f"{measure.Spread(tuple(one.seconds for one in runs)).median:.1f}",
            ]
        )
    header = ["killed", "runs", "kills that hit", "finished", *SORTS, "last part s"]
    wrong = [f"- {one.kind}: {text}" for one in verdicts for _, text in one.problems]
    said = (
        "none lost, changed or doubled; every best_config.toml reads and is the same; every reading"
        " of the test set is on record; every event log holds each end once"
    )
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"Each study: {n} trainings in search and confirmation, {whole.seconds:.1f} s without"
            f" faults. {'PROBLEMS:' if wrong else f'No problem: {said}.'}",
            *wrong[:20],
        ]
    )


def main() -> None:
    """Kill, compare, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = run_whole(folder / "whole")
        steps = {
            kind: count_steps(kind, folder / f"count {kind}", whole)
            for kind in AFTER
            if kind in args.kinds
        }
        for number in range(args.runs):
            kind = args.kinds[number % len(args.kinds)]
            chance = random.Random(f"{args.seed} {number}")
            place = folder / str(number)
            if kind in steps:
                one = run_after(kind, place, chance, whole, steps[kind])
            else:
                one = run_once(kind, place, chance, whole)
            verdicts.append(one)
            said = "; ".join(text for _, text in one.problems) or "all well"
            measure.say(f"run {number + 1}/{args.runs}: {kind}, {one.kills} kills: {said}")
    text = "\n\n".join([measure.environment(measure.cpu_name()), report(verdicts, whole)])
    print(text)
    if args.record:
        measure.record("faults", text)
    if any(one.problems for one in verdicts):
        sys.exit(1)


def _gone(processes: Sequence[psutil.Process]) -> None:
    """Wait until ``processes``, whose supervisor is gone, are gone, too."""
    _, left = psutil.wait_procs(processes, timeout=_LATEST)
    if left:
        sys.exit(f"error: worker processes outlive their supervisor: {left}")


if __name__ == "__main__":
    main()
