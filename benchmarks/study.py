"""The same 40 trials through our harness and through a plain Optuna script, on this machine's CPU.

    python benchmarks/study.py              # about 15 minutes on two cores
    python benchmarks/study.py --quick      # 8 trials of 1 epoch, once: about a minute
    python benchmarks/study.py --record     # and write it down in RESULTS.md

The trials are in ``study_trials.json``: drawn once, uniformly (learning rates: in the logarithm)
from the space of ``optim_search`` with ``random.Random(2)``. Both sides get them enqueued with all
parameters, train ``net`` at batch 64 for the same epochs on the same images, validate and report
after each epoch, prune nothing, and keep the study in SQLite.

* ours (``ours/study_once.py``): book, local engine, one worker with one thread a core.
* peer (``peers/optuna_script.py``): ``study.optimize``, one trial after the other with
  ``peers/pytorch_loop.py`` as shipped.

Trials per hour count everything from starting the process until it is gone. The overhead of our
harness is (workers x wall - T) / T, where T is the sum over all trials of the seconds that their
objective took in the worker (model, training, validations), less what it waited for answers to its
reports. It is given twice: (a) with wall from the start of the process to its end, so with the
interpreter's start and torch's import in each process; (b) with wall from the begin of the first
trial to the end of the last one, so with what happens between trials and the idle end, but without
start and exit. The table splits (a) up without remainder. What the supervisor computes while
workers train takes cores from them: that is inside T, so its CPU time is printed, too.
"""

import argparse
import itertools
import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from measure import Result, Spread

RATIO_TARGET, OVERHEAD_TARGET = 5.0, 5.0
TRIALS = measure.HERE / "study_trials.json"
OURS, PEER = "ours", "plain Optuna script"


@dataclass(frozen=True)
class Budget:
    """Where the workers' time of one run of ours went; all in worker-seconds.

    Attributes:
        parts: by name; together they are workers x wall.
        training: one of them, T.
        inside: workers x the time from the first begin to the last end.
    """

    parts: dict[str, float]
    training: float
    inside: float

    @property
    def overhead(self) -> float:
        """Overhead (a), per cent."""
        return 100 * (sum(self.parts.values()) - self.training) / self.training

    @property
    def overhead_inside(self) -> float:
        """Overhead (b), per cent."""
        return 100 * (self.inside - self.training) / self.training


def budget(run: Result) -> Budget:
    """Split workers x wall of one run of ours."""
    workers = int(run["workers"])
    by_worker: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for trial in sorted(run["trials"], key=lambda trial: float(trial["begin"])):
        by_worker[trial["pid"]].append(trial)
    if len(by_worker) != workers:
        raise SystemExit(f"error: {len(by_worker)} of {workers} workers had a trial; use more")
    first = min(trials[0]["begin"] for trials in by_worker.values())
    last = max(trials[-1]["end"] for trials in by_worker.values())
    waited = sum(trial["waited"] for trial in run["trials"])
    training = sum(trial["end"] - trial["begin"] for trial in run["trials"]) - waited
    between = sum(
        after["begin"] - before["end"]
        for trials in by_worker.values()
        for before, after in itertools.pairwise(trials)
    )
    parts = {
        "training (T)": training,
        "start until the first trial begins": workers * (first - run["began"]),
        "other workers begin later": sum(ts[0]["begin"] - first for ts in by_worker.values()),
        "waiting for answers to reports": waited,
        "between two trials of a worker": between,
        "idle at the end": sum(last - trials[-1]["end"] for trials in by_worker.values()),
        "last end until the process is gone": workers * (run["ended"] - last),
    }
    return Budget(parts, training, workers * (last - first))


def report(results: dict[str, list[Result]], *, trials: int, epochs: int, data: str) -> str:
    """Return tables and verdicts."""
    _check_same_work(results, trials)
    speeds = {
        name: Spread(tuple(3600 * trials / run["wall"] for run in runs))
        for name, runs in results.items()
    }
    rows = [
        [
            name,
            f"{speed.median:,.0f}",
            speed.range(),
            f"{Spread(tuple(run['wall'] for run in results[name])).median:.1f}",
            f"{speed.median / speeds[PEER].median:.2f}",
            f"{100 * max(best_accuracy(run) for run in results[name]):.1f}",
            f"{100 * max(run['others'] for run in results[name]):.0f} %",
        ]
        for name, speed in speeds.items()
    ]
    header = ["", "trials/hour", "min..max", "wall s", "x peer", "best accuracy %", "others"]
    budgets = [budget(run) for run in results[OURS]]
    middle = sorted(budgets, key=lambda one: one.overhead)[len(budgets) // 2]
    overhead = Spread(tuple(one.overhead for one in budgets)).median
    inside = Spread(tuple(one.overhead_inside for one in budgets)).median
    supervisor = results[OURS][budgets.index(middle)]["supervisor"]
    book = ", ".join(f"{name} {s:.2f}" for name, s in sorted(supervisor["book"].items()))
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"{trials} trials, {epochs} epochs of {data}; medians of {len(budgets)}; all COMPLETE. "
            f"{_differences(results)}",
            "",
            measure.table(
                ["where our workers' time went", "worker-seconds", "of T"],
                [
                    [name, f"{seconds:.2f}", f"{100 * seconds / middle.training:.2f} %"]
                    for name, seconds in middle.parts.items()
                ],
            ),
            "",
            f"Supervisor while trials ran: {supervisor['cpu_seconds']:.2f} s of CPU; seconds in "
            f"the book's methods (Optuna and SQLite): {book}.",
            "",
            "- "
            + measure.verdict(
                "trials per hour against the plain script",
                speeds[OURS].median / speeds[PEER].median,
                RATIO_TARGET,
                unit="x",
            ),
            "- "
            + measure.verdict(
                "overhead (a), from process start to exit",
                overhead,
                OVERHEAD_TARGET,
                unit=" %",
                at_most=True,
            ),
            "- "
            + measure.verdict(
                "overhead (b), from the first trial's begin to the last one's end",
                inside,
                OVERHEAD_TARGET,
                unit=" %",
                at_most=True,
            ),
        ]
    )


def best_accuracy(run: Result) -> float:
    """Return the best accuracy of a run's trials."""
    return max(float(trial["value"]) for trial in run["trials"])


def _differences(results: dict[str, list[Result]]) -> str:
    """Say how far the accuracies of the same trial are apart on both sides."""
    pairs = zip(results[OURS][0]["trials"], results[PEER][0]["trials"], strict=True)
    points = Spread(tuple(100 * abs(a["value"] - b["value"]) for a, b in pairs))
    return f"The same trial's accuracies differ by {points.median:.1f} points in the median."


def _check_same_work(results: dict[str, list[Result]], trials: int) -> None:
    images = set()
    for name, runs in results.items():
        for run in runs:
            states = [trial["state"] for trial in run["trials"]]
            if states != ["COMPLETE"] * trials:
                raise SystemExit(f"error: {name}: not {trials} complete trials, but {states}")
            images |= {trial["images"] for trial in run["trials"]}
    if len(images) != 1:
        raise SystemExit(f"error: trials differ in the images trained on: {sorted(images)}")


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40, help="the first so many of the list")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of ours, with one thread each")
    parser.add_argument("--data", choices=measure.DATA, default="10pct")
    parser.add_argument("--quick", action="store_true", help="8 trials, 1 epoch, 1 repeat")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    if args.quick:
        args.trials, args.epochs, args.repeats = 8, 1, 1
    data, data_root = measure.DATA[args.data], measure.data_root(args.data)
    chosen = json.loads(TRIALS.read_text(encoding="utf-8"))[: args.trials]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer_root = measure.torchvision_root(data, folder / "torchvision", data_root)
        trials = folder / "trials.json"
        trials.write_text(json.dumps(chosen), encoding="utf-8")
        common: list[object] = ["--trials", trials, "--epochs", args.epochs]

        def ours(_: int) -> Result:
            arguments: list[object] = ["--data", data, "--data-root", data_root]
            place = Path(tempfile.mkdtemp(dir=folder))
            arguments += ["--folder", place / "results", "--workers", args.workers]
            return measure.run_program("ours/study_once.py", [*common, *arguments], folder=place)

        def peer(_: int) -> Result:
            database = Path(tempfile.mkdtemp(dir=folder)) / "study.db"
            arguments: list[object] = ["--root", peer_root, "--db", database]
            return measure.run_program("peers/optuna_script.py", [*common, *arguments])

        results = measure.interleave({OURS: ours, PEER: peer}, args.repeats, say=_begin)
    table = report(results, trials=len(chosen), epochs=args.epochs, data=data)
    text = "\n\n".join([measure.environment(measure.cpu_name()), table])
    print(text)
    if args.record:
        measure.record("study", text)


def _begin(text: str) -> None:
    measure.say(text)
    measure.wait_for_quiet()


if __name__ == "__main__":
    main()
