"""What the live view costs: the processor's time of a process that does nothing but show a study.

    python benchmarks/live_view.py                # two minutes
    python benchmarks/live_view.py --record       # and write it down in RESULTS.md

A made-up study whose trials are as long as the default one's: 4 seconds each, 5 reports.
The events come in real time, the panel is drawn on terminals of several sizes that nobody sees. All
that the process takes from the processor while they come is the view's, its thread and its looks at
the terminal's size included. The plain view, one line a trial, gets the same events faster than in
real time, since nothing of it is on a clock.
"""

import argparse
import io
import os
import random
import sys
import time
from collections.abc import Callable, Iterator

import measure

from mnist_core.console.safe_console import SafeConsole
from studies.core.events import Event, Kind
from studies.report.live import LiveView, PlainView
from studies.report.progress import Progress

TARGET = 0.01
"""Share of one core that the view may take."""
WORKERS, SECONDS, REPORTS = 2, 4.0, 5
SIZES = ((80, 24, WORKERS), (120, 40, WORKERS), (200, 60, WORKERS), (200, 60, 16))
"""Width, height, workers."""
_NAMES = ("sgd", "momentum", "adam", "adamw", "rmsprop")


def events(
    seconds: float, workers: int = WORKERS
) -> Iterator[tuple[float, Kind, int | None, dict[str, object]]]:
    """Yield when (from the begin), what, of which trial and its data, in the order of time."""
    drawn = random.Random(0)
    trials = int(seconds / SECONDS + 1) * workers
    found: list[tuple[float, Kind, int | None, dict[str, object]]] = []
    for number in range(trials):
        begin = number // workers * SECONDS + number % workers * SECONDS / workers
        params = {"optim.name": _NAMES[number % 5], "optim.lr": 10 ** drawn.uniform(-4, 0)}
        found.append((begin, "start", number, {"params": params, "attempt": 0}))
        value = drawn.uniform(0.8, 0.95)
        for step in range(1, REPORTS + 1):
            value += 0.01
            metrics = {"val_accuracy": value}
            at = begin + SECONDS * step / (REPORTS + 0.1)
            found.append((at, "report", number, {"step": step, "metrics": metrics}))
        found.append((begin + SECONDS, "complete", number, {"value": value, "seconds": SECONDS}))
    found.sort(key=lambda one: one[0])
    yield 0.0, "phase", None, {"name": "search", "total": trials}
    yield from (one for one in found if one[0] <= seconds)


def cost(
    view: Callable[[Event], None], seconds: float, *, waits: bool, workers: int = WORKERS
) -> tuple[float, int]:
    """Show the study; return the processor's seconds and how many events there were."""
    began, spent, count = time.time(), time.process_time(), 0
    for at, kind, trial, data in events(seconds, workers):
        if waits:
            time.sleep(max(0.0, began + at - time.time()))
        view(Event(kind=kind, phase="search", trial=trial, data=data, time=began + at))
        count += 1
    if waits:
        time.sleep(max(0.0, began + seconds - time.time()))
    return time.process_time() - spent, count


def drawn(width: int, height: int, workers: int, seconds: float) -> tuple[float, int]:
    """Return what the view on a terminal of this size costs, see ``cost``."""
    progress = Progress(metric="val_accuracy", choice="optim.name")
    with open(os.devnull, "w", encoding="utf-8") as nobody:
        console = SafeConsole(file=nobody, force_terminal=True, width=width, height=height)
        with LiveView(progress, console, title="optim_search", hint="Ctrl-C: stop") as view:
            return cost(view, seconds, waits=True, workers=workers)


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of the made-up study")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    found = {
        f"{width} x {height}, {workers} workers": drawn(width, height, workers, args.seconds)
        for width, height, workers in SIZES
    }
    dearest = max(spent for spent, _ in found.values())
    plain = PlainView(Progress(metric="val_accuracy"), io.StringIO().write)
    found[f"plain lines, {WORKERS} workers"] = cost(plain, args.seconds, waits=False)
    rows = [
        [name, str(count), f"{spent:.3f}", f"{spent / args.seconds:.2%}"]
        for name, (spent, count) in found.items()
    ]
    header = ["view", "events", "processor, s", "of one core"]
    text = "\n\n".join(
        [
            measure.environment(measure.cpu_name()),
            f"A study for {args.seconds:g} s on terminals of several sizes:",
            measure.table(header, rows),
            measure.verdict(
                "the dearest live view, of one core",
                100 * dearest / args.seconds,
                100 * TARGET,
                unit=" %",
                at_most=True,
            ),
        ]
    )
    sys.stdout.write(f"{text}\n")
    if args.record:
        measure.record("live_view", text)


if __name__ == "__main__":
    main()
