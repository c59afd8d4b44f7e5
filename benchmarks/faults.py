"""Kill a study at random moments, resume it, and look whether anything was lost or invented.

    python benchmarks/faults.py --record      # 100 runs, about 25 minutes on 2 cores

Each run is a whole study of a toy (``ours/toy_study.py``: search, confirm, test, export; two worker
processes, SQLite) that is killed one to three times by kill -9 and then run to its end:

* worker: one worker process, at a random moment; the study goes on by itself.
* supervisor: the process that writes the study, at a random moment.
* both: a worker, and the supervisor right after it.
* sqlite: the supervisor in the middle of a random write to the database, before its commit.
* export: the supervisor at a random step of writing the result's files.

Each training follows from its params and seed, and the proposals do not depend on the order in
which trials end. So each run must come to what one without faults comes to: the same trials, values
and curves. Counted are: trials that still claim to run, the number of finished ones, trials that
were finished when the kill came and are gone or changed after it, duplicates, results that differ
from the run without faults, processes left behind, and whether ``best_config.toml`` can be read.
"""

import argparse
import json
import os
import random
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

from mnist_core.errors import UserError

KINDS = ("worker", "supervisor", "both", "sqlite", "export")
PROGRAM = measure.HERE / "ours" / "toy_study.py"
_LATEST = 600.0
"""Seconds after which a run counts as hung."""


@dataclass(frozen=True)
class Trials:
    """All trials of a study's search and confirmation, by phase and number.

    Attributes:
        results: of each finished one what must never change: state, params, seed, value, curve.
        ends: when each of those ended, and after how many seconds.
        open: those that are not finished, and their states.
    """

    results: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    ends: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    open: Mapping[tuple[str, int], str] = field(default_factory=dict)


Problem = tuple[str, str]
"""One of ``SORTS`` and what was found."""

SORTS = ("unfinished", "lost", "changed", "double", "best_config", "other")


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


def read(folder: Path) -> Trials:
    """Read the trials as the database holds them, whatever their supervisor's fate."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not (folder / "study.db").exists():
        return Trials()
    # A connection of its own, as the dashboard's.
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    results, ends, unfinished = {}, {}, {}
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(deepcopy=False):
            key = (name, trial.number)
            if not trial.state.is_finished():
                unfinished[key] = trial.state.name
                continue
            results[key] = (
                trial.state.name,
                dict(sorted(trial.params.items())),
                trial.user_attrs.get("seed"),
                trial.value,
                dict(sorted(trial.intermediate_values.items())),
            )
            ends[key] = (trial.datetime_complete, trial.user_attrs.get("seconds"))
    storage.remove_session()
    storage.engine.dispose()
    return Trials(results, ends, unfinished)


def start(folder: Path, die: str = "") -> subprocess.Popen[str]:
    """Start the study in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(measure.ROOT)}
    command = [sys.executable, str(PROGRAM), "--folder", str(folder), "--die", die]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


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
        trials: all of it.
        config: its best_config.toml, but for what tells of the run.
        counts: how many writes to the database and steps of the export there were.
        seconds: it took.
    """

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
    return Whole(read(folder), read_config(folder), counts, time.monotonic() - began)


def read_config(folder: Path) -> Any:
    """Read best_config.toml as the trainer does; return its settings and what was confirmed."""
    import tomllib

    from mnist_core.config import TrainConfig

    tables = tomllib.loads((folder / "best_config.toml").read_text(encoding="utf-8"))
    record = tables.pop("record")
    config = TrainConfig.from_mapping(tables, source="best_config.toml")
    return config, record["confirm"]["seeds"], record["confirm"]["values"], record["params"]


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
    try:
        if read_config(folder) != whole.config:
            verdict.problems.append(("best_config", "best_config.toml differs"))
    except (OSError, ValueError, KeyError, UserError) as error:
        verdict.problems.append(("best_config", f"best_config.toml cannot be read: {error}"))
    return verdict


def compare(seen: Sequence[Trials], final: Trials, whole: Trials) -> list[Problem]:
    """Return what is wrong with the study in the end.

    Args:
        seen: after each kill.
        final: in the end.
        whole: of the run without faults.
    """
    found = [("unfinished", f"{key} is {state}") for key, state in final.open.items()]
    if final.results.keys() != whole.results.keys():
        text = f"{len(final.results)} finished trials, not {len(whole.results)}"
        found.append(("unfinished", text))
    for before in seen:
        for key, result in before.results.items():
            if key not in final.results:
                found.append(("lost", f"{key} was finished and is lost"))
            elif (final.results[key], final.ends[key]) != (result, before.ends[key]):
                found.append(("changed", f"{key} was finished and is changed"))
    for key, result in final.results.items():
        if key in whole.results and whole.results[key] != result:
            found.append(("changed", f"{key} is not what it is without faults"))
    trained = [
        json.dumps((study, params, seed))
        for (study, _), (_, params, seed, *_) in final.results.items()
    ]
    found += [("double", f"{one} twice") for one in set(trained) if trained.count(one) > 1]
    return found


def report(verdicts: Sequence[Verdict], whole: Whole) -> str:
    """Return the table and the verdict."""
    rows, n = [], len(whole.trials.results)
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
                f"{sum(one.finished for one in runs)}/{n * len(runs)}",
                *(str(sorts.count(sort)) for sort in SORTS),
                f"{measure.Spread(tuple(one.seconds for one in runs)).median:.1f}",
            ]
        )
    header = ["killed", "runs", "kills that hit", "finished", *SORTS, "last part s"]
    wrong = [f"- {one.kind}: {text}" for one in verdicts for _, text in one.problems]
    said = "none lost, changed or doubled; every best_config.toml reads and is the same"
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
    parser.add_argument("--record", action="store_true", help="append to benchmarks/RESULTS.md")
    args = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = run_whole(folder / "whole")
        for number in range(args.runs):
            kind = args.kinds[number % len(args.kinds)]
            chance = random.Random(f"{args.seed} {number}")
            one = run_once(kind, folder / str(number), chance, whole)
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
