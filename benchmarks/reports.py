"""What ``python -m studies report`` takes for studies of 60, 2,000 and 10,000 trials.

    python benchmarks/reports.py                # a few minutes
    python benchmarks/reports.py --sizes 2000
    python benchmarks/reports.py --record       # and write it down in RESULTS.md

Finished studies of ``optim_search`` are made up (``tests/studies/made_search.py``), each trial that
ran to its end with the confusion matrix, the curves and the mistakes that a training leaves, and
the command is run on them in a process of its own. The seconds of the processor hardly depend on
what else the machine does; the wall's do.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

SIZES = (60, 2_000, 10_000)
SECONDS = {10_000: 15.0}
"""Targets, of the processor's time, by size."""
MEGABYTES = {60: 0.25, 2_000: 0.8, 10_000: 1.0}
"""Targets, of the page, by size."""


def left_by_a_training() -> dict[str, Any]:
    """Return what is kept of a training's last validation, as large as it gets."""
    points = [round(place / 39, 5) for place in range(40)]
    curve = {"x": points, "y": points, "area": 0.98765}
    mistakes = [[900 + place, 7, 1, 0.9876] for place in range(9)]
    return {
        "confusion": [[91 if row == column else 1 for column in range(10)] for row in range(10)],
        "validation": {"mistakes": mistakes, "roc": curve, "precision_recall": curve},
    }


def write(folder: Path, size: int) -> list[str]:
    """Make up a study of ``size`` trials in ``folder``; return the settings that name it."""
    sys.path.append(str(measure.ROOT / "tests" / "studies"))
    from made_search import write_study

    from studies.planning import plan

    url = f"sqlite:///{folder / 'optim_search' / 'study.db'}"
    sets = {"results.folder": str(folder), "storage.url": url, "search.trials": size}
    write_study(
        plan.resolve("optim_search", sets=sets).with_data("benchmark"),
        size,
        complete=left_by_a_training(),
    )
    return [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]


def report(size: int) -> tuple[float, float, float]:
    """Return the seconds of the processor and of the wall, and the page's megabytes."""
    with tempfile.TemporaryDirectory(prefix="reports-") as made:
        settings = write(Path(made), size)
        command = [sys.executable, "-m", "studies", "report", "optim_search", *settings]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, cwd=measure.ROOT, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        page = Path(made) / "optim_search" / "report.html"
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent, wall, page.stat().st_size / 1e6


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of trials")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    rows, lines = [], []
    for size in args.sizes:
        measure.say(f"{size:,} trials")
        spent, wall, megabytes = report(size)
        rows.append([f"{size:,}", f"{spent:.1f}", f"{wall:.1f}", f"{megabytes:.2f}"])
        what = f"report of {size:,} trials"
        for of, targets, unit in ((spent, SECONDS, " s"), (megabytes, MEGABYTES, " MB")):
            if size in targets:
                lines.append(measure.verdict(what, of, targets[size], unit=unit, at_most=True))
    header = ["trials", "processor, s", "wall, s", "page, MB"]
    text = "\n\n".join(
        [
            measure.environment(measure.cpu_name()),
            measure.table(header, rows),
            "\n".join(lines),
        ]
    )
    sys.stdout.write(f"{text}\n")
    if args.record:
        measure.record("reports", text)


if __name__ == "__main__":
    main()
