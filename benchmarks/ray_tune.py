"""The engine ``ray`` against the local one and a plain Ray Tune script; and 1 to 4 nodes.

    python benchmarks/ray_tune.py              # about 30 minutes on two cores
    python benchmarks/ray_tune.py --quick      # 8 trials of 1 epoch, 60 trivial ones: 3 minutes
    python benchmarks/ray_tune.py --record     # and write it down in RESULTS.md

The first part runs the 40 trials of ``study_trials.json`` as ``benchmarks/study.py`` does: through
the book with the local engine and with the engine ``ray`` (two workers of one thread each), and
through ``peers/ray_tune_script.py``, in turns. Trials per hour are given from the start of the
process to its end, and once started: from the first trial's begin to the last one's end, which of
the peer is not known. The overhead of a trial is the time of a worker between two trials, and in
one while it waits for the answer to a report.

The peer, Ray's defaults, writes a token to ``~/.ray`` of whoever runs this.

The second part runs trials that do nothing on a Ray cluster of 1, 2 and 4 nodes that share this
machine; it shows what a trial costs the driver, and whether all are there in the end.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import measure
from measure import Result, Spread
from study import TRIALS, budget

LOCAL, RAY, PEER = "local engine", "ray engine", "plain Ray Tune script"
ENGINE_TARGET, PEER_TARGET, OVERHEAD_TARGET = 0.9, 4.0, 150.0
NODES = (1, 2, 4)


def report_engines(results: dict[str, list[Result]], *, trials: int, epochs: int) -> str:
    """Return the table and verdicts of the first part."""
    speeds = {
        name: Spread(tuple(3600 * trials / run["wall"] for run in runs))
        for name, runs in results.items()
    }
    inside = {
        name: Spread(
            tuple(3600 * trials * run["workers"] / budget(run).inside for run in results[name])
        )
        for name in (LOCAL, RAY)
    }
    overhead = {
        name: statistics.median(per_trial(run, trials) for run in results[name])
        for name in (LOCAL, RAY)
    }
    rows = [
        [
            name,
            f"{speed.median:,.0f}",
            speed.range(),
            f"{inside[name].median:,.0f}" if name in inside else "",
            f"{overhead[name]:.0f}" if name in overhead else "",
            f"{100 * max(run['others'] for run in results[name]):.0f} %",
        ]
        for name, speed in speeds.items()
    ]
    header = ["", "trials/hour", "min..max", "once started", "ms a trial", "others"]
    ratio = inside[RAY].median / inside[LOCAL].median
    whole = speeds[RAY].median / speeds[LOCAL].median
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"{trials} trials, {epochs} epochs; medians of {len(results[RAY])}.",
            "",
            "- " + measure.verdict("once started, of local", ratio, ENGINE_TARGET, unit="x"),
            "- " + measure.verdict("with start and end, of local", whole, ENGINE_TARGET, unit="x"),
            "- "
            + measure.verdict(
                "overhead of a trial", overhead[RAY], OVERHEAD_TARGET, unit=" ms", at_most=True
            ),
            "- "
            + measure.verdict(
                "against the plain script",
                speeds[RAY].median / speeds[PEER].median,
                PEER_TARGET,
                unit="x",
            ),
        ]
    )


def per_trial(run: Result, trials: int) -> float:
    """Return the milliseconds of a trial in which its worker did not train."""
    parts = budget(run).parts
    lost = parts["between two trials of a worker"] + parts["waiting for answers to reports"]
    return 1000 * lost / trials


def report_nodes(found: dict[int, Result], trials: int) -> str:
    """Return the table of the second part."""
    rows = []
    for nodes, run in found.items():
        if run["states"] != {"COMPLETE": trials} or not run["numbers"]:
            raise SystemExit(f"error: {nodes} nodes: not {trials} complete trials: {run['states']}")
        rows.append(
            [
                f"{nodes}",
                f"{run['per_second']:.1f}",
                f"{1000 * run['driver_cpu']:.1f}",
                f"{1000 * run['book']:.1f}",
                f"{run['start']:.1f}",
            ]
        )
    header = ["nodes", "trials/s", "driver CPU ms a trial", "of that in the book", "joining s"]
    return "\n".join(
        [measure.table(header, rows), "", f"{trials} trivial trials each, all COMPLETE, none lost."]
    )


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40, help="the first so many of the list")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trivial", type=int, default=500, help="trivial trials")
    parser.add_argument("--only", choices=("engines", "nodes"), help="one part")
    parser.add_argument("--quick", action="store_true", help="8 trials, 1 epoch, 60 trivial ones")
    parser.add_argument("--record", action="store_true", help="append to benchmarks/RESULTS.md")
    args = parser.parse_args()
    if args.quick:
        args.trials, args.epochs, args.repeats, args.trivial = 8, 1, 1, 60
    parts = [measure.environment(measure.cpu_name())]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.only != "nodes":
            results = run_engines(folder, args.trials, args.epochs, args.repeats)
            parts.append(report_engines(results, trials=args.trials, epochs=args.epochs))
        if args.only != "engines":
            found = {nodes: run_nodes(folder, nodes, args.trivial) for nodes in NODES}
            parts.append(report_nodes(found, args.trivial))
    text = "\n\n".join(parts)
    print(text)
    if args.record:
        measure.record("ray_tune", text)


def run_engines(folder: Path, trials: int, epochs: int, repeats: int) -> dict[str, list[Result]]:
    """Run the list of trials three ways, in turns."""
    data, data_root = measure.DATA["10pct"], measure.data_root("10pct")
    chosen = json.loads(TRIALS.read_text(encoding="utf-8"))[:trials]
    peer_root = measure.torchvision_root(data, folder / "torchvision", data_root)
    file = folder / "trials.json"
    file.write_text(json.dumps(chosen), encoding="utf-8")
    common: list[object] = ["--trials", file, "--epochs", epochs]

    def ours(engine: str) -> Result:
        place = Path(tempfile.mkdtemp(dir=folder))
        arguments: list[object] = ["--data", data, "--data-root", data_root, "--workers", 2]
        arguments += ["--folder", place / "results", "--engine", engine]
        return measure.run_program("ours/study_once.py", [*common, *arguments], folder=place)

    def peer(_: int) -> Result:
        arguments: list[object] = ["--root", peer_root, "--out", tempfile.mkdtemp(dir=folder)]
        return measure.run_program("peers/ray_tune_script.py", [*common, *arguments])

    forms = {LOCAL: lambda _: ours("local"), RAY: lambda _: ours("ray"), PEER: peer}
    return measure.interleave(forms, repeats, say=_begin)


def run_nodes(folder: Path, nodes: int, trials: int) -> Result:
    """Run trivial trials on so many nodes."""
    _begin(f"{trials} trivial trials on {nodes} nodes")
    place = Path(tempfile.mkdtemp(dir=folder)) / "results"
    arguments: list[object] = ["--nodes", nodes, "--trials", trials, "--folder", place]
    return measure.run_program("ours/ray_scale_once.py", arguments)


def _begin(text: str) -> None:
    measure.say(text)
    measure.wait_for_quiet()


if __name__ == "__main__":
    main()
