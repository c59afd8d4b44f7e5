"""What a newcomer has after how long: from the checkout to a verdict, in fresh environments.

    python benchmarks/newcomer.py                       # both journeys, and what they came to
    python benchmarks/newcomer.py --python python3.12 --record
    python benchmarks/newcomer.py --epochs 6            # the study as it is shipped
    python benchmarks/newcomer.py --quick               # one epoch, the defaults only

Two journeys, each typed word by word in a shell, in an empty folder, with no settings:

pictures   a virtual environment, ``pip install``, the study ``optim_search`` on 2,000 generated
           pictures (64 x 64, in colour, five classes), its page, its model as ``.pt2`` (ONNX needs
           the extra ``export``). All 60 trials are run and the best are confirmed, but each
           training has 3 epochs instead of 6, so the verdict is on optimizers for 3 epochs.
           With ``--quick`` the study tries each optimizer's defaults for one epoch: it shows that
           all works, and its verdict is worth little, as it says itself.
objective  in the same environment, a project of one's own and the study of a function in it. Its
           target counts the installation, too.

pip takes what it has downloaded before from its cache, if there is one; ``--no-cache`` forbids it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import drawn_pictures
import measure

PICTURES, SIDE = 2000, 64
PICTURE_MINUTES, OBJECTIVE_MINUTES, COMMANDS = 10.0, 5.0, 5
LEFT_OUT = ("PYTHON", "VIRTUAL_ENV", "STUDIES_", "MNIST_", "OMP_", "MKL_", "WANDB_")
"""Beginnings of the names of variables that a newcomer has not set."""


@dataclass(frozen=True)
class Typed:
    """A command that was typed.

    Attributes:
        command: as typed.
        seconds: from its start until the shell answered.
        last: the last lines that it printed.
    """

    command: str
    seconds: float
    last: str


class Newcomer:
    """Someone in an empty folder, who types commands."""

    def __init__(self, folder: Path, *, cache: bool) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(LEFT_OUT)}
        programs = os.pathsep.join([str(folder / "venv/bin"), os.environ.get("PATH", "")])
        # Pictures that an earlier run has decoded are not there.
        own = {"PATH": programs, "MNIST_STUDIES_CACHE": str(folder / "cache")}
        self.environment = kept | own
        self.environment |= {} if cache else {"PIP_NO_CACHE_DIR": "1"}
        self.folder = folder

    def type(self, command: str) -> Typed:
        """Run ``command`` in a shell; the benchmark ends if it fails."""
        measure.say(f"$ {command}")
        began = time.monotonic()
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if done.returncode:
            sys.exit(f"error: {command} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        measure.say(f"  {seconds:.1f} s")
        return Typed(command, seconds, "\n".join(done.stdout.splitlines()[-40:]))


def checkout(folder: Path) -> None:
    """Copy the checkout to ``folder/checkout``: pip writes into what it builds from."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=measure.ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(measure.ROOT / name):
            shutil.copy2(measure.ROOT / name, target, follow_symlinks=False)


def journeys(python: str, *, quick: bool, epochs: int) -> tuple[list[str], list[str]]:
    """Return the commands with pictures and those with an objective."""
    word = " --quick" if quick else ""
    length = "" if quick else f" --set epochs={epochs}"
    results = f"results/optim_search{'-quick' if quick else ''}"
    pictures = [
        f"{python} -m venv venv",
        "venv/bin/python -m pip install --quiet ./checkout",
        f"studies run optim_search --dataset pictures{word}{length}",
        f"studies report optim_search{word}",
        f"mnist-core export {results}/best_config.toml --out model.pt2",
    ]
    return pictures, ["studies init my-project", "cd my-project && studies run my_objective"]


def check(folder: Path, *, quick: bool) -> None:
    """End the benchmark if a verdict, a report or the model is missing."""
    study = folder / f"results/optim_search{'-quick' if quick else ''}"
    own = folder / "my-project/results/my_objective"
    made = [study / "report.html", folder / "model.pt2"]
    made += [place / name for place in (study, own) for name in ("report.md", "result.json")]
    if missing := [str(file.relative_to(folder)) for file in made if not file.is_file()]:
        sys.exit(f"error: not there at the end: {', '.join(missing)}")


def text_of(pictures: Sequence[Typed], objective: Sequence[Typed], verdict: str) -> str:
    """Return the tables, the targets and the verdict of the study."""
    rows = [
        [f"`{one.command}`", name, f"{one.seconds:.1f}"]
        for name, journey in (("pictures", pictures), ("objective", objective))
        for one in journey
    ]
    install, study, function = (
        sum(one.seconds for one in some) for some in (pictures[:2], pictures[2:], objective)
    )
    lines = [
        measure.verdict(
            "pictures, from the checkout to verdict, report and exported model",
            (install + study) / 60,
            PICTURE_MINUTES,
            unit=" min",
            at_most=True,
        ),
        measure.verdict("pictures, commands", len(pictures), COMMANDS, unit="", at_most=True),
        measure.verdict(
            "own objective, installation and all",
            (install + function) / 60,
            OBJECTIVE_MINUTES,
            unit=" min",
            at_most=True,
        ),
    ]
    return "\n\n".join(
        [
            measure.environment(measure.cpu_name()),
            measure.table(["command", "journey", "seconds"], rows),
            "\n".join(f"- {line}" for line in lines),
            f"{PICTURES:,} pictures of {SIDE} x {SIDE}; the study ended so:\n\n"
            f"```text\n{verdict}\n```",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make both journeys and print what they took."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="newcomer-", dir=options.folder) as place:
        folder = Path(place)
        checkout(folder)
        drawn_pictures.write(folder / "pictures", PICTURES, SIDE, noise=options.noise)
        newcomer = Newcomer(folder, cache=options.cache)
        with_pictures, with_objective = journeys(
            options.python, quick=options.quick, epochs=options.epochs
        )
        pictures = [newcomer.type(command) for command in with_pictures]
        objective = [newcomer.type(command) for command in with_objective]
        check(folder, quick=options.quick)
        text = text_of(pictures, objective, pictures[2].last).replace(place, ".")
        # What is recorded names no folder of the machine.
        text = text.replace(options.python, Path(options.python).name)
    print(text)
    if options.record:
        measure.record("newcomer, quick" if options.quick else "newcomer", text)
    return 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="python3", help="the interpreter, 3.11 or newer")
    parser.add_argument("--quick", action="store_true", help="the study's small version")
    parser.add_argument("--epochs", type=int, default=3, help="of each training, not with --quick")
    parser.add_argument("--noise", type=float, default=60.0, help="of the pictures, out of 255")
    parser.add_argument("--folder", type=Path, help="where the environment is made: 8 GB")
    parser.add_argument("--no-cache", dest="cache", action="store_false", help="of pip")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
