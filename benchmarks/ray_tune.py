"""The engine ``ray``: beside the local one, a plain Ray Tune script, and on 1 to 4 nodes.

    python benchmarks/ray_tune.py              # about 15 minutes on two cores
    python benchmarks/ray_tune.py --quick      # everything small: 4 minutes
    python benchmarks/ray_tune.py --record     # and write it down in RESULTS.md
    python benchmarks/ray_tune.py --part nodes # one part; may be repeated

Each part prints its table anew after every repeat. When the program is interrupted, what is printed
last is recorded all the same.

* engines: the trials of ``study_trials.json`` as ``benchmarks/study.py`` runs them, through the
  local engine and through the engine ``ray`` (two workers of one thread each), in turns. Trials per
  hour from the start of the process to its end, and once started: from the first trial's begin to
  the last one's end. What a trial costs besides its training is the time of a worker between two
  trials, and in one while it waits for the answer to a report.
* start: two trials of one epoch with the engine ``ray``; until Ray is up, until the first trial
  begins, and from the last trial's end until the process is gone.
* peer: the first trials of the list through the engine ``ray`` and through
  ``peers/ray_tune_script.py``, which is as Ray's documentation shows it. Its trials' times are
  those that Tune itself keeps (``timestamp``, in whole seconds, and ``time_total_s``).
* nodes: trials that do nothing on a Ray cluster of 1, 2 and 4 nodes that share this machine, and
  such with more reports; what a trial and a report cost the processes of which a cluster has but
  one, the driver and Ray's GCS, in CPU time; and whether all trials are there in the end.

The peer, Ray's defaults, writes a token to ``~/.ray`` of whoever runs this.
"""

import argparse
import json
import signal
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import measure
from measure import Result, Spread
from study import TRIALS, budget

LOCAL, RAY, PEER = "local engine", "ray engine", "plain Ray Tune script"
ENGINE_TARGET, PEER_TARGET, OVERHEAD_TARGET, START_TARGET = 0.9, 4.0, 150.0, 15.0
NODES = (1, 2, 4)
FEW, MANY = 2, 20
"""Reports of a trivial trial: as a rule, and in the run that tells what a report costs."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured; ``repeats`` of all but the nodes."""

    trials: int
    epochs: int
    repeats: int
    peer_trials: int
    trivial: int


class Programs:
    """The programs that are measured, in a folder of their own.

    Args:
        folder: empty; for their files.
        sizes: of the runs.
    """

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.sizes = sizes
        self._folder = folder
        self._data, self._data_root = measure.DATA["10pct"], measure.data_root("10pct")
        self._peer_root: Path | None = None

    def ours(self, engine: str, trials: int, epochs: int) -> Result:
        """Run the first ``trials`` of the list through our harness."""
        place = self._new()
        arguments = [*self._list(trials, epochs), "--workers", 2, "--engine", engine]
        arguments += ["--data", self._data, "--data-root", self._data_root]
        arguments += ["--folder", place / "results"]
        return self._run(engine, "ours/study_once.py", arguments, folder=place)

    def peer(self, trials: int, epochs: int) -> Result:
        """Run them through the plain script."""
        if self._peer_root is None:
            self._peer_root = measure.torchvision_root(self._data, self._new(), self._data_root)
        arguments = self._list(trials, epochs)
        arguments += ["--root", self._peer_root, "--out", self._new()]
        return self._run(PEER, "peers/ray_tune_script.py", arguments)

    def nodes(self, nodes: int, trials: int, reports: int) -> Result:
        """Run trivial trials on so many nodes."""
        place = self._new() / "results"
        arguments: list[object] = ["--nodes", nodes, "--trials", trials, "--reports", reports]
        name = f"{trials} trivial trials of {reports} reports on {nodes} nodes"
        run = self._run(name, "ours/ray_scale_once.py", [*arguments, "--folder", place])
        if run["states"] != {"COMPLETE": trials} or not run["numbers"]:
            raise SystemExit(f"error: {name}: not all complete: {run['states']}")
        return run

    def _list(self, trials: int, epochs: int) -> list[object]:
        file = self._new() / "trials.json"
        chosen = json.loads(TRIALS.read_text(encoding="utf-8"))[:trials]
        file.write_text(json.dumps(chosen), encoding="utf-8")
        return ["--trials", file, "--epochs", epochs]

    def _new(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _run(self, name: str, script: str, arguments: list[object], **options: Any) -> Result:
        measure.say(f"{name} …")
        measure.wait_for_quiet()
        run = measure.run_program(script, arguments, **options)
        measure.say(f"{name}: {run['wall']:.1f} s, others took {100 * run['others']:.0f} %")
        return run


def engines(programs: Programs) -> Iterator[str]:
    """Compare the local engine and the engine ``ray``."""
    sizes = programs.sizes
    runs: dict[str, list[Result]] = {LOCAL: [], RAY: []}
    for repeat in range(sizes.repeats):
        for name in sorted(runs, reverse=bool(repeat % 2)):
            runs[name].append(programs.ours(name.split()[0], sizes.trials, sizes.epochs))
        yield engines_table(runs, sizes.trials, sizes.epochs)


def engines_table(runs: dict[str, list[Result]], trials: int, epochs: int) -> str:
    """Return the table and verdicts of the part ``engines``."""
    whole = {name: _per_hour(trials, [run["wall"] for run in runs[name]]) for name in runs}
    inside = {
        name: _per_hour(trials, [budget(run).inside / run["workers"] for run in runs[name]])
        for name in runs
    }
    cost = {
        name: Spread(tuple(besides_training(run, trials) for run in runs[name])) for name in runs
    }
    rows = [
        [
            name,
            f"{whole[name].median:,.0f}",
            whole[name].range(),
            f"{inside[name].median:,.0f}",
            inside[name].range(),
            f"{cost[name].median:.0f}",
            f"{1000 * _median(runs[name], _drivers_cpu) / trials:.0f}",
            _others(runs[name]),
        ]
        for name in runs
    ]
    header = ["", "trials/hour", "min..max", "once started", "min..max"]
    header += ["besides training, ms a trial", "driver's CPU, ms a trial", "others"]
    started = inside[RAY].median / inside[LOCAL].median
    ratio = whole[RAY].median / whole[LOCAL].median
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"{trials} trials, {epochs} epochs; medians of {len(runs[RAY])}.",
            "",
            "- " + measure.verdict("trials/hour, of local", ratio, ENGINE_TARGET, unit="x"),
            "- " + measure.verdict("once started, of local", started, ENGINE_TARGET, unit="x"),
            "- "
            + measure.verdict(
                "a trial besides its training",
                cost[RAY].median,
                OVERHEAD_TARGET,
                unit=" ms",
                at_most=True,
            ),
        ]
    )


def besides_training(run: Result, trials: int) -> float:
    """Return the milliseconds of a trial in which its worker did not train."""
    parts = budget(run).parts
    lost = parts["between two trials of a worker"] + parts["waiting for answers to reports"]
    return 1000 * lost / trials


def start(programs: Programs) -> Iterator[str]:
    """Measure how long the engine ``ray`` takes to start, and to end."""
    runs: list[Result] = []
    for _ in range(programs.sizes.repeats):
        runs.append(programs.ours("ray", 2, 1))
        spreads = {
            "Ray is up": Spread(tuple(run["up"] - run["began"] for run in runs)),
            "first trial begins": Spread(
                tuple(min(t["begin"] for t in run["trials"]) - run["began"] for run in runs)
            ),
            "last trial's end to the process's": Spread(
                tuple(run["ended"] - max(t["end"] for t in run["trials"]) for run in runs)
            ),
        }
        rows = [[name, f"{s.median:.1f}", s.range(1)] for name, s in spreads.items()]
        first = spreads["first trial begins"].median
        yield "\n".join(
            [
                measure.table(["", "s", "min..max"], rows),
                "",
                f"From the start of the process; {len(runs)} runs, others {_others(runs)}.",
                "",
                "- "
                + measure.verdict(
                    "until the first trial begins", first, START_TARGET, unit=" s", at_most=True
                ),
            ]
        )


def peer(programs: Programs) -> Iterator[str]:
    """Compare the engine ``ray`` and the plain script."""
    trials, epochs = programs.sizes.peer_trials, programs.sizes.epochs
    runs: dict[str, list[Result]] = {RAY: [], PEER: []}
    for _ in range(programs.sizes.repeats):
        runs[RAY].append(programs.ours("ray", trials, epochs))
        runs[PEER].append(programs.peer(trials, epochs))
        yield peer_table(runs, trials, epochs)


def peer_table(runs: dict[str, list[Result]], trials: int, epochs: int) -> str:
    """Return the table and verdicts of the part ``peer``."""
    images = {trial["images"] for side in runs.values() for run in side for trial in run["trials"]}
    if len(images) != 1:
        raise SystemExit(f"error: trials differ in the images trained on: {sorted(images)}")
    whole = {name: _per_hour(trials, [run["wall"] for run in runs[name]]) for name in runs}
    inside = {name: _per_hour(trials, [_inside(run) for run in runs[name]]) for name in runs}
    rows = [
        [
            name,
            f"{whole[name].median:,.0f}",
            f"{inside[name].median:,.0f}",
            inside[name].range(),
            f"{100 * _median(runs[name], _mean_value):.1f}",
            _others(runs[name]),
        ]
        for name in runs
    ]
    header = ["", "trials/hour", "once started", "min..max", "mean accuracy %", "others"]
    ratio = inside[RAY].median / inside[PEER].median
    with_start = whole[RAY].median / whole[PEER].median
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"The first {trials} trials, {epochs} epochs; medians of {len(runs[PEER])}."
            f" With start and end {with_start:.2f}x.",
            "",
            "- " + measure.verdict("once started, of the script", ratio, PEER_TARGET, unit="x"),
        ]
    )


def nodes(programs: Programs) -> Iterator[str]:
    """Run trivial trials on 1, 2 and 4 nodes, and trials of many reports on the most."""
    runs: list[tuple[int, int, int, Result]] = []
    trivial = programs.sizes.trivial
    plans = [(count, trivial, FEW) for count in NODES]
    plans.append((NODES[-1], max(20, trivial // 5), MANY))
    for count, trials, reports in plans:
        runs.append((count, trials, reports, programs.nodes(count, trials, reports)))
        yield nodes_table(runs)


def nodes_table(runs: list[tuple[int, int, int, Result]]) -> str:
    """Return the table of the part ``nodes``."""
    rows = [
        [
            f"{count}",
            f"{trials}",
            f"{reports}",
            f"{run['per_second']:.1f}",
            f"{1000 * run['driver']:.0f}",
            f"{1000 * run['book']:.0f}",
            f"{1000 * run['late']:.0f}",
            f"{1000 * run['gcs']:.1f}",
            f"{100 * run['gcs_idle']:.1f}",
            f"{run['joined']:.1f}",
            _others([run]),
        ]
        for count, trials, reports, run in runs
    ]
    header = [
        "nodes",
        "trials",
        "reports each",
        "trials/s",
        "driver, ms a trial",
        "in the book, wall",
    ]
    header += ["last tenth", "GCS, ms a trial", "GCS idle, % of a core", "joining s", "others"]
    lines = [measure.table(header, rows), "", "All COMPLETE, none lost, none twice."]
    few = [run for count, _, reports, run in runs if (count, reports) == (NODES[-1], FEW)]
    many = [run for _, _, reports, run in runs if reports == MANY]
    if few and many:
        each = (many[0]["driver"] - few[0]["driver"]) / (MANY - FEW)
        alone = few[0]["driver"] - FEW * each
        lines[-1] += (
            f" The driver's CPU: {1000 * alone:.0f} ms a trial and {1000 * each:.1f} ms a report."
        )
    return "\n".join(lines)


def _per_hour(trials: int, seconds: list[float]) -> Spread:
    return Spread(tuple(3600 * trials / each for each in seconds))


def _inside(run: Result) -> float:
    begin = min(trial["begin"] for trial in run["trials"])
    return float(max(trial["end"] for trial in run["trials"]) - begin)


def _drivers_cpu(run: Result) -> float:
    return float(run["supervisor"]["cpu_seconds"])


def _mean_value(run: Result) -> float:
    return statistics.fmean(trial["value"] for trial in run["trials"])


def _median(runs: list[Result], of: Callable[[Result], float]) -> float:
    return statistics.median(of(run) for run in runs)


def _others(runs: list[Result]) -> str:
    return f"{100 * max(run['others'] for run in runs):.0f} %"


PARTS = {"engines": engines, "start": start, "peer": peer, "nodes": nodes}


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--trials", type=int, default=40, help="the first so many of the list")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--peer-trials", type=int, default=12, help="in the part peer")
    parser.add_argument("--trivial", type=int, default=500, help="trivial trials")
    parser.add_argument("--quick", action="store_true", help="small numbers for all of these")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    if args.quick:
        args.trials, args.epochs, args.repeats, args.peer_trials, args.trivial = 8, 1, 1, 4, 40
    sizes = Sizes(
        trials=args.trials,
        epochs=args.epochs,
        repeats=args.repeats,
        peer_trials=args.peer_trials,
        trivial=args.trivial,
    )
    signal.signal(signal.SIGTERM, _leave)
    cpu = measure.cpu_name()
    for part in args.part or PARTS:
        with tempfile.TemporaryDirectory() as name:
            text = ""
            try:
                for table in PARTS[part](Programs(Path(name), sizes)):
                    text = "\n\n".join([measure.environment(cpu), table])
                    print(f"\n{part}: {text}", flush=True)
            finally:
                if text and args.record:
                    measure.record(f"ray_tune, {part}", text)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
