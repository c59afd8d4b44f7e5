"""What trackers cost a study, and what they leave behind.

    python benchmarks/tracking.py             # the whole default study twice each way: half an hour
    python benchmarks/tracking.py --short     # 27 trials, three times each way: eleven minutes
    python benchmarks/tracking.py --leaks     # only the 200 trials: a minute
    python benchmarks/tracking.py --record    # and write it down in RESULTS.md

Cost: ``python -m studies.run`` with ``--track none`` and with trackers, in turns: off, on, on, off,
off, on. Two walls are given: of the whole process, which waits for its trackers at the end, and of
the trials alone, from the begin of the first of a phase to the end of its last one, as the event
log has them. Workers are not synchronous, so trials are proposed and pruned in another order each
time, and an epoch more or less was trained: beside the walls stands the workers' time for each
epoch that was trained, which does not depend on that, and the processor's time of all processes.

Leaks: one process of the tracker ``wandb``, offline, follows a log that grows by 200 made-up trials
of 6 reports, each with a confusion matrix, two curves and nine pictures; its handles, threads and
children, and those of W&B's service, are counted after 20 trials and after 200, and the processor's
seconds between. When it is done, no process that it started may be there.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import psutil

from mnist_core.config import DataConfig
from mnist_core.data import image_arrays
from studies.core.event_log import FILE, EventLog, Tail
from studies.core.events import Event, Kind
from studies.planning.tracking_settings import TrackingSettings
from studies.tracking.process import TrackerProcess

TARGET = 0.05
"""Share of the study's wall time that trackers may add."""
SHORT = ("--trials", "27", "--set", "search.trials_per_choice=2", "--set", "confirm.seeds=2")
SHORT_REPEATS = 3
TRIALS, EARLY = 200, 20
_LATEST = 600.0


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        wall: seconds of the whole process.
        trials: seconds from the begin of the first trial to the end of the last one, of each phase.
        worker: seconds that workers were at a trial, all workers together.
        processor: seconds of the processor that all processes took.
        epochs: reports of all trials.
        count: trials that ended.
    """

    wall: float
    trials: float
    worker: float
    processor: float
    epochs: int
    count: int


def run_study(arguments: list[str], trackers: str) -> Run:
    """Run a study in a fresh process and a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="tracking-") as folder:
        command = [sys.executable, "-m", "studies.run", *arguments, "--plain", "--track", trackers]
        command += ["--set", f"results.folder={folder}"]
        before, began = measure.children_seconds(), time.monotonic()
        subprocess.run(command, cwd=measure.ROOT, check=True, stdout=subprocess.DEVNULL)
        wall, processor = time.monotonic() - began, measure.children_seconds() - before
        (log,) = Path(folder).glob(f"*/{FILE}")
        return of_events(list(Tail(log).read()), wall=wall, processor=processor)


def of_events(events: list[Event], *, wall: float, processor: float) -> Run:
    """Return what a study's events tell of its run."""
    ends = [event for event in events if event.kind in ("complete", "pruned", "failed")]
    spans = []
    for phase in {event.phase for event in ends}:
        begins = [e.time for e in events if e.kind == "start" and e.phase == phase]
        spans.append(max(e.time for e in ends if e.phase == phase) - min(begins))
    return Run(
        wall=wall,
        trials=sum(spans),
        worker=sum(event.data.get("seconds") or 0.0 for event in ends),
        processor=processor,
        epochs=sum(event.kind == "report" for event in events),
        count=len(ends),
    )


def cost(arguments: list[str], trackers: str, repeats: int) -> str:
    """Return the table of a study without and with ``trackers``, in turns."""
    runs: dict[str, list[Run]] = {"none": [], trackers: []}
    for turn in range(repeats):
        for name in list(runs) if turn % 2 == 0 else list(runs)[::-1]:
            measure.say(f"{turn + 1}/{repeats}: trackers: {name}")
            measure.wait_for_quiet()
            runs[name].append(run_study(arguments, name))
            measure.say(f"    {runs[name][-1]}")
    return compared(runs["none"], runs[trackers], trackers)


def compared(without: list[Run], tracked: list[Run], trackers: str) -> str:
    """Return the table of runs without and with ``trackers``, and how much more the latter took."""
    figures: dict[str, Callable[[Run], float]] = {
        "wall, s": lambda run: run.wall,
        "trials alone, s": lambda run: run.trials,
        "worker s an epoch": lambda run: run.worker / run.epochs,
        "processor s an epoch": lambda run: run.processor / run.epochs,
    }
    rows = []
    for name, made in (("none", without), (trackers, tracked)):
        row = [name, str(len(made)), str(made[0].count), _spread([run.epochs for run in made], 0)]
        rows.append([*row, *(_spread([of(run) for run in made], 3) for of in figures.values())])
    more = {
        what: statistics.median(map(of, tracked)) / statistics.median(map(of, without)) - 1
        for what, of in figures.items()
    }
    processor = more.popitem()
    lines = [
        measure.verdict(f"{what}: more", 100 * share, 100 * TARGET, unit=" %", at_most=True)
        for what, share in more.items()
    ]
    lines.append(f"{processor[0]}: {100 * processor[1]:+.1f} % (no target)")
    table = measure.table(["trackers", "runs", "trials", "epochs", *figures], rows)
    return "\n".join([table, "", "Medians, and the range in brackets.", "", *lines])


def _spread(values: Sequence[float], digits: int) -> str:
    shown = [f"{value:.{digits}f}" for value in (min(values), max(values))]
    return f"{statistics.median(values):.{digits}f} ({' to '.join(shown)})"


def leaks() -> str:
    """Return what a tracker of W&B holds after a few trials and after many."""
    folder = Path(tempfile.mkdtemp(prefix="leaks-"))
    try:
        log = EventLog(folder / FILE, measure.say)
        about = {"id": "leaks", "name": "leaks", "metric": "value"}
        about["data"] = image_arrays.validation_images(DataConfig()).fingerprint
        log(Event(kind="study", phase="", data=about))
        tracker = TrackerProcess("wandb", folder, TrackingSettings(), seconds=_LATEST, sync="")
        process = psutil.Process(tracker.pid)
        rows, spent = [], []
        for end in (EARLY, TRIALS):
            for number in range(0 if end == EARLY else EARLY, end):
                _write_trial(log, number)
            _wait_kept(folder / "trackers" / "wandb.kept", end)
            time.sleep(2)
            at_work = [process, *process.children(recursive=True)]
            rows += [[str(end), *held(one)] for one in at_work]
            spent.append(sum(sum(one.cpu_times()[:2]) for one in at_work))
        known = [process, *process.children(recursive=True)]
        log.close()
        said = tracker.finish()
        left = [one.pid for one in known if one.is_running() and one.status() != "zombie"]
        pictures = sum(1 for _ in (folder / "wandb").glob("offline-*/**/*.png"))
        runs = sum(1 for _ in (folder / "wandb").glob("offline-run-*-search-*"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    header = ["trials kept", "process", "handles", "threads", "children"]
    each = 1000 * (spent[1] - spent[0]) / (TRIALS - EARLY)
    lines = " / ".join(said).replace(str(folder), "FOLDER")
    end = (
        f"{each:.0f} ms of the processor a trial; {runs} runs and {pictures} pictures on disk; kept"
        f" everything: {tracker.complete}; processes left: {len(left)}; it said: {lines}"
    )
    return "\n".join([measure.table(header, rows), "", end])


def held(process: psutil.Process) -> list[str]:
    """Return what a process holds, as a row."""
    counts = [process.num_fds(), process.num_threads(), len(process.children())]
    return [process.name(), *map(str, counts)]


def _write_trial(log: EventLog, number: int) -> None:
    def write(kind: Kind, **data: Any) -> None:
        log(Event(kind=kind, phase="search", trial=number, data=data))

    write("start", params={"lr": 0.1}, seed=number, attempt=0, config={"optim.lr": 0.1})
    for step in range(1, 7):
        write("report", step=step, metrics={"value": step / 10, "loss": 1 / step})
    confusion = [[90 if row == column else 1 for column in range(10)] for row in range(10)]
    points = [place / 39 for place in range(40)]
    curve = {"x": points, "y": points, "area": 0.5}
    mistakes = [[4 * number + place, 7, 1, 0.99] for place in range(9)]
    validation = {"mistakes": mistakes, "roc": curve, "precision_recall": curve}
    attributes = {"confusion": confusion, "validation": validation}
    write("complete", value=0.6, metrics={"value": 0.6}, attributes=attributes)


def _wait_kept(path: Path, count: int) -> None:
    until = time.monotonic() + _LATEST
    while not path.exists() or len(path.read_text().splitlines()) < count:
        if time.monotonic() > until:
            raise SystemExit(f"{path}: not {count} trials after {_LATEST:g} s")
        time.sleep(0.2)


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="optim_search", help="a study's name")
    parser.add_argument("--trials", type=int, help="left out: the study's own")
    parser.add_argument("--trackers", default="wandb", help="as --track of studies.run")
    parser.add_argument("--repeats", type=int, help="runs each way; left out: 2, --short: 3")
    parser.add_argument("--short", action="store_true", help="fewer trials; does not count handles")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets")
    parser.add_argument("--leaks", action="store_true", help="count handles only, run no study")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    arguments = [args.study, *(SHORT if args.short else ())]
    arguments += [] if args.trials is None else ["--trials", str(args.trials)]
    arguments += [word for assignment in args.sets for word in ("--set", assignment)]
    repeats = args.repeats or (SHORT_REPEATS if args.short else 2)
    tables = [measure.environment(measure.cpu_name())]
    if not args.leaks:
        tables += [
            f"`{' '.join(arguments)}`, trackers in turns with none:",
            cost(arguments, args.trackers, repeats),
        ]
    if not args.short:
        tables += [f"One tracker of W&B, offline, {TRIALS} trials:", leaks()]
    text = "\n\n".join(tables)
    print(text)
    if args.record:
        part = ", leaks" if args.leaks else ", short" if args.short else ""
        measure.record(f"tracking{part}", text)


if __name__ == "__main__":
    main()
