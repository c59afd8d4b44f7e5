"""How quickly the page of ``demo`` answers: one prediction, and the updates while one draws.

    python benchmarks/demo.py              # half a minute; needs chromium and chromedriver
    python benchmarks/demo.py --record     # and write it down in RESULTS.md

The server runs in a process of its own, as ``python -m mnist_core demo`` starts it. Predictions
are asked for over HTTP, one after the other, each on a connection of its own; the drawings are
squares of other places, so no answer is kept. Then a real Chromium draws one stroke of three
seconds, a point every 16 ms, and the page counts its own answers as they become visible.
"""

import argparse
import itertools
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import measure

sys.path.append(str(measure.ROOT / "tests"))
from webdriver import Browser, open_browser

REQUESTS = 200
PREDICTION, UPDATES = 30.0, 10.0
"""Targets: milliseconds a prediction at most, updates a second at least."""
SIDE = 140
"""Pixels of a drawing's side, as the page sends it."""
COUNT = """
window.shown = [];
new MutationObserver(() => window.shown.push(performance.now())).observe(
  document.querySelector('.time'), {childList: true})
"""


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chromium", default="chromium", help="the browser's program")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    chromium = shutil.which(args.chromium)
    if chromium is None:
        parser.error(f"no {args.chromium} on this machine: name the browser with --chromium")
    measure.wait_for_quiet()
    command = [sys.executable, "-m", "mnist_core", "demo", "--no-browser", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=measure.ROOT, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            times = predictions(address)
            with open_browser(
                shutil.which(args.chromium) or args.chromium, Path(folder)
            ) as browser:
                shown = updates(browser, address)
        finally:
            server.terminate()
    text = report(times, shown)
    print(text)
    if args.record:
        measure.record("demo", text)


def predictions(address: str) -> list[float]:
    """Return the milliseconds of each of ``REQUESTS`` predictions, after one that loads all."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    times = []
    for number in range(REQUESTS + 1):
        ink = bytearray(SIDE * SIDE)
        for row in range(30, 100):  # an upright bar, which wanders
            ink[row * SIDE + 20 + number % 80 : row * SIDE + 32 + number % 80] = b"\xff" * 12
        request = urllib.request.Request(
            f"{address}api/classify?model=0", bytes(ink), {"Origin": address.rstrip("/")}
        )
        began = time.perf_counter()
        with opener.open(request) as answer:
            answer.read()
        times.append(1000 * (time.perf_counter() - began))
    return times[1:]


def updates(browser: Browser, address: str) -> list[float]:
    """Draw a spiral; return when each answer became visible, in milliseconds."""
    browser.look(1280, 900)
    browser.open(address)
    while not browser.text("#draw .bars"):
        time.sleep(0.1)
    browser.draw("#draw .paper", [(0.5, 0.5), (0.52, 0.5)])  # the model is loaded now
    browser.run(COUNT)
    turns = [12 * math.pi * step / 187 for step in range(188)]
    browser.draw(
        "#draw .paper",
        [(0.5 + t / 94 * math.cos(t), 0.5 + t / 94 * math.sin(t)) for t in turns],
    )
    return [float(moment) for moment in browser.run("return window.shown")]


def report(times: list[float], shown: list[float]) -> str:
    """Return the table and the verdicts."""
    times = sorted(times)
    gaps = [later - earlier for earlier, later in itertools.pairwise(shown)]
    rate = 1000 * len(gaps) / (shown[-1] - shown[0])
    slow = times[int(0.99 * len(times))]
    rows = [
        ["a prediction over HTTP, ms", *(f"{f:.1f}" for f in (statistics.median(times), slow))],
        ["from answer to answer, ms", f"{statistics.median(gaps):.1f}", f"{max(gaps):.1f}"],
    ]
    return "\n\n".join(
        [
            measure.environment(measure.cpu_name()),
            measure.table(["", "median", "99 % (the second: largest)"], rows),
            f"{len(shown)} answers while a stroke of {shown[-1] - shown[0]:.0f} ms was drawn.",
            measure.verdict("a prediction, 99 %", slow, PREDICTION, unit=" ms", at_most=True),
            measure.verdict("updates a second", rate, UPDATES, unit=""),
        ]
    )


if __name__ == "__main__":
    main()
