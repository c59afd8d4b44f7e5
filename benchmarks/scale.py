"""What a study costs as it grows: workers, trials, hosts, images; and what breaks first.

    python benchmarks/scale.py                  # all parts
    python benchmarks/scale.py --part workers   # one of them; may be repeated
    python benchmarks/scale.py --quick          # small numbers, some minutes
    python benchmarks/scale.py --record         # in RESULTS.md, too

* workers: 2, 20 and 200 on this machine, whose trials sleep and make five reports. ``of ideal`` is
  the share of the trials a second that sleeping workers alone would come to. ``supervisor`` is the
  processor's time of the process that leads the study, for one trial.
* trials: a study that holds 100 to 100,000; then some trials of it, as in ``storage.py``, and the
  command ``status``, in processes of their own.
* nodes: a Ray cluster of 1, 2 and 4 hosts, eight places each, whose trials do nothing. The hosts
  are namespaces of this machine (``crowd/hosts.py``; Linux, root): each has its own network, name,
  ``/tmp`` and processes. All share the processors, so the figure is what the driver can do.
* supervisors: 1, 2 and 4 such hosts that ``--join`` one study in PostgreSQL, two workers each,
  whose trials take 0.6 s; then four, of which one loses its network for good after a quarter.
* images: the first step of ``mnist-core train`` on 5,000 to 1,000,000 images of 28 x 28, of an
  ``.npz``: first start and second.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import measure
from crowd.hosts import Host, hosts, why_not
from crowd.on_hosts import Programs, postgres, ray_cluster
from measure import Result

REPORTS = 5
PLACES, DRIVER_TARGET = 8, 100.0
"""Places of a Ray node; trials a second that the driver is to come to."""


def workers(quick: bool) -> str:
    """Run sleeping trials by more and more workers of this machine."""
    rows = []
    for count, seconds in ((2, 0.5), (20, 1.0)) if quick else ((2, 1.0), (20, 2.0), (200, 10.0)):
        measure.say(f"{count} workers")
        with _folder() as folder:
            asked = ["--workers", count, "--trials", 4 * count, "--seconds", seconds]
            asked += ["--reports", REPORTS, "--folder", folder / "results"]
            run = measure.run_program("ours/crowd_once.py", asked)
        _check(run, 4 * count)
        rows.append(
            [
                f"{count}",
                f"{4 * count} of {seconds:g} s",
                f"{run['start']:.1f}",
                f"{run['per_second']:.1f}",
                f"{run['per_second'] * seconds / count:.0%}",
                f"{1000 * run['supervisor']:.1f}",
                f"{run['supervisor_mib']:.0f}",
                f"{run['workers_mib']:.0f}",
                f"{run['others']:.0%}",
            ]
        )
    header = ["workers", "trials", "first after s", "trials/s", "of ideal", "supervisor ms"]
    header += ["its MiB above imports", "workers' MiB", "others"]
    return measure.table(header, rows)


def trials(quick: bool) -> str:
    """Fill studies with more and more trials, and go on with each."""
    import storage

    rows = []
    for size in (100, 1_000) if quick else (100, 1_000, 10_000, 100_000):
        measure.say(f"{size:,} trials")
        with _folder() as folder:
            url = f"sqlite:///{folder}/study.db"
            storage.fill(url, size)
            kept = (folder / "study.db").stat().st_size / 2**20
            runs = {}
            for sampler in storage.SAMPLERS:
                arguments = [url, "--sampler", sampler, "--trials", 10]
                runs[sampler] = measure.run_program("ours/storage_once.py", arguments)
            status = _seconds(["status", storage.STUDY, "--set", f"storage.url={url}"], folder)
        random, tpe = runs["random"], runs["tpe"]
        rows.append(
            [
                f"{size:,}",
                f"{kept:.1f}",
                f"{random['resume_s']:.2f}",
                f"{random['ask']:.1f}",
                f"{tpe['ask']:.0f}",
                f"{random['report']:.1f}",
                f"{random['finish']:.1f}",
                f"{random['memory_mib'] - random['imports_mib']:.0f}",
                f"{status:.1f}",
            ]
        )
    header = ["trials", "file MiB", "resume s", "ask ms, random", "TPE", "report ms", "finish ms"]
    return measure.table([*header, "MiB above imports", "status s"], rows)


def nodes(quick: bool) -> str:
    """Run trials that do nothing on a Ray cluster of more and more hosts."""
    rows, best = [], 0.0
    for count in (1, 2) if quick else (1, 2, 4):
        measure.say(f"{count} Ray nodes")
        size = 200 if quick else 1_000
        with _folder() as folder, hosts(count, folder) as members:
            programs = Programs(folder)
            with ray_cluster(programs, members, PLACES) as address:
                command = [sys.executable, measure.HERE / "ours" / "ray_scale_once.py"]
                command += ["--address", address, "--places", PLACES * count]
                command += ["--trials", size, "--folder", folder / "results"]
                run = programs.result(members[0], "study", command)
        _check(run, size)
        best = max(best, run["per_second"])
        rows.append(
            [
                f"{count}",
                f"{PLACES * count}",
                f"{run['joined']:.1f}",
                f"{run['per_second']:.1f}",
                f"{1000 * run['driver']:.1f}",
                f"{1000 * run['book']:.1f}",
                f"{1000 * run['gcs']:.1f}",
            ]
        )
    header = ["nodes", "places", "joined after s", "trials/s", "driver's CPU ms", "book ms"]
    verdict = measure.verdict("driver", best, DRIVER_TARGET, unit=" trials/s")
    return f"{measure.table([*header, 'GCS ms'], rows)}\n\n{verdict}"


SUPERVISED = '''"""Trials that sleep."""

import time

from search_spaces.space import Choice, Float, Space
from studies.spec import StudySpec


def objective(params, *, seed, report):
    for step in range(1, 4):
        time.sleep(0.2)
        report(step, {"score": params["x"] * step})
    return {"score": params["x"] * 3}


STUDY = StudySpec(
    name="crowd",
    goal="How many trials a second?",
    space=Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0)}),
    objective=objective,
    metric="score",
    trials=TRIALS,
)
'''


def supervisors(quick: bool) -> str:
    """Have more and more hosts join one study; then one of them loses its network."""
    rows = []
    for count, lost in (
        ((2, False), (2, True))
        if quick
        else (
            (1, False),
            (2, False),
            (4, False),
            (4, True),
        )
    ):
        measure.say(f"{count} supervisors{', one of them cut off' if lost else ''}")
        size = (12 if quick else 60) * count
        with _folder() as folder, hosts(count + 1, folder) as members:
            programs = Programs(folder)
            with postgres(programs, members[0]) as url:
                seconds = _joined(programs, members[1:], url, size, lost=lost)
                command = [sys.executable, measure.HERE / "ours" / "study_states.py", url, "crowd"]
                found = programs.result(members[0], "states", command)
            said = "".join(programs.output(member, "study") for member in members[1:])
        ended = found["states"].get("COMPLETE", 0) + found["states"].get("PRUNED", 0)
        if ended != size or not found["numbers"]:
            raise SystemExit(f"error: {count} supervisors: trials are missing: {found}")
        rows.append(
            [
                f"{count}{', one cut off' if lost else ''}",
                f"{size}",
                f"{found['seconds']:.1f}",
                f"{size / found['seconds']:.2f}",
                f"{said.count('SupervisorDied')}",
                f"{seconds:.0f}",
            ]
        )
    header = ["supervisors", "trials", "search s", "trials/s", "run again", "whole study s"]
    return f"{measure.table(header, rows)}\n\nAll trials there, none twice."


def _joined(programs: Programs, members: list[Host], url: str, size: int, *, lost: bool) -> float:
    """Run the study on all members; return how long it took, of those that kept their network."""
    begun = time.monotonic()
    running = {}
    for host in members:
        # Each has a copy of its own, at the same place, and its own folder of results.
        (host.folder / "tmp" / "crowd.py").write_text(SUPERVISED.replace("TRIALS", str(size)))
        line = f"cd /tmp && exec {sys.executable} -m studies run ./crowd.py --join --workers 2"
        line += f" --plain --track none --set storage.url={url}"
        running[host.name] = programs.start(host, "study", ["sh", "-c", line])
    left = list(members)
    if lost:
        victim = left.pop()
        quarter = f"[{size // 4}/{size}]"
        while not any(quarter in programs.output(host, "study") for host in members):
            time.sleep(0.1)
        victim.unplug()
    for host in left:
        if running[host.name].wait():
            raise SystemExit(f"error: {host.name}:\n{programs.output(host, 'study')[-2000:]}")
    return time.monotonic() - begun


def images(quick: bool) -> str:
    """Start a training on more and more images."""
    import own_images

    rows = []
    for count in (5_000,) if quick else (5_000, 50_000, 500_000, 1_000_000):
        measure.say(f"{count:,} images")
        with _folder() as folder:
            os.environ["MNIST_STUDIES_CACHE"] = str(folder / "cache")
            path = own_images.write_npz(folder, count, 28, colour=False)
            first = own_images.start(path, first=True)
            again = [own_images.start(path, first=False) for _ in range(1 if quick else 3)]
        second = measure.Spread(tuple(run["seconds"] for run in again))
        rows.append(
            [
                f"{count:,}",
                f"{first['seconds']:.2f}",
                f"{second.median:.2f}",
                second.range(2),
                f"{max(run['memory'] for run in [first, *again]):.2f}",
                f"{max(run['others'] for run in [first, *again]):.0%}",
            ]
        )
    header = ["images", "first start s", "second start s", "min..max", "memory GiB", "others"]
    return measure.table(header, rows)


def _check(run: Result, trials: int) -> None:
    if run["states"] != {"COMPLETE": trials} or not run["numbers"]:
        raise SystemExit(f"error: not all trials are complete: {run['states']}")


def _seconds(arguments: list[str], folder: Path) -> float:
    """Return the seconds that ``studies`` takes."""
    return float(measure.run_program("ours/timed_command.py", arguments, folder=folder)["wall"])


@contextmanager
def _folder() -> Iterator[Path]:
    # Not in /tmp, in whose place each host has its own.
    with tempfile.TemporaryDirectory(prefix="scale-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        yield Path(name)


PARTS: dict[str, Callable[[bool], str]] = {
    "workers": workers,
    "trials": trials,
    "nodes": nodes,
    "supervisors": supervisors,
    "images": images,
}


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    for name in args.part or PARTS:
        if name in ("nodes", "supervisors") and (reason := why_not()):
            print(f"{name}: not measured: {reason}")
            continue
        text = f"{PARTS[name](args.quick)}\n\n{measure.environment(measure.cpu_name())}"
        print(f"{name}\n\n{text}\n")
        if args.record:
            measure.record(f"scale, {name}", text)


if __name__ == "__main__":
    main()
