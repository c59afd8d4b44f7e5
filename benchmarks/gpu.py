"""Everything that is to be known of a GPU, in one command of at most nine minutes.

    python benchmarks/gpu.py --out DIR                     # on the first GPU
    python benchmarks/gpu.py --out DIR --parts trainer     # also: tests, fast99, workers
    python benchmarks/gpu.py --out DIR --quick             # little of each; on a CPU always

* ``tests``: the tests marked ``gpu``.
* ``trainer``: steps of net, cnn and siamese in fp32, tf32, bf16 and fp16, with and without a CUDA
  graph, against floors that are measured first: of starting kernels, moving bytes, multiplying.
* ``fast99``: seconds of the recipe of that name, with and without a graph, over ten seeds.
* ``stacked``: images/s of one to 32 members of a stack, which the engine ``fused`` trains together,
  against the same trainings one after the other and against processes that share the GPU.
* ``workers``: trials/hour of a small study with one, two, four and eight workers on the one GPU.

Each part has a share of ``--seconds``. When it is over, what was measured until then counts. A part
that fails stops no other. Its tables are in ``DIR/PART.md`` as soon as it ends; ``DIR/summary.md``
has all of them and a verdict on each target of ``on_gpu/targets.py``, ``DIR/results.json`` every
figure, ``DIR/log.txt`` what the programs printed. Without a GPU the same is done on the CPU in a
reduced form, and no target is judged. The exit code is 1 if a target was missed or a part failed.

Beside torch the parts need: ``tests`` pytest and hypothesis, ``workers`` Optuna and SQLAlchemy.
``fast99`` takes MNIST from the folder in MNIST_ROOT or from ``shared/data/mnist``.
"""

import argparse
import json
import time
import traceback
from pathlib import Path

import measure
from on_gpu import machine, parts
from on_gpu.machine import Machine
from on_gpu.parts import PARTS, Job
from on_gpu.running import Clock
from on_gpu.tables import Measured
from on_gpu.targets import TARGETS

CPU_NOTE = "**Measured on a CPU in the reduced form: these are no figures of a GPU.**"


class Record:
    """The files of one run."""

    def __init__(self, folder: Path, on: Machine, chosen: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / "log.txt"
        self.log.write_text("", encoding="utf-8")
        self._on, self._chosen = on, chosen
        self._texts: dict[str, str] = {}
        self._figures: dict[str, dict[str, float]] = {}
        self._rows: dict[str, list[measure.Result]] = {}
        self.trouble: list[str] = []

    def add(self, part: str, measured: Measured, trouble: list[str], job: Job) -> None:
        """Write what a part came to, and everything so far."""
        self._figures[part], self._rows[part] = measured.figures, job.rows
        lines = [measured.text, *(f"- went wrong: {line}" for line in trouble)]
        self._texts[part] = "\n\n".join(line for line in lines if line)
        self.trouble += trouble
        text = f"# {part}\n\n{self._head()}\n\n{self._texts[part]}\n"
        (self.folder / f"{part}.md").write_text(text, encoding="utf-8")
        self.write()

    def took(self, seconds: float) -> None:
        """Write the seconds of the whole command."""
        self._figures["all"] = {"seconds": seconds}
        self.write()

    def verdicts(self) -> list[list[str]]:
        """Return a row a target of the chosen parts: part, what, figure, bound, verdict, source."""
        found = []
        for target in TARGETS:
            if target.part in (*self._chosen, "all"):
                figures = self._figures.get(target.part, {})
                text, verdict = target.judge(figures, on_gpu=self._on.on_gpu)
                found.append([target.part, target.what, text, target.sign, verdict, target.source])
        return found

    def write(self) -> None:
        """Write the summary and the figures."""
        header = ["part", "target", "measured", "bound", "verdict", "set by"]
        sections = [f"## {part}\n\n{text}" for part, text in self._texts.items()]
        verdicts = measure.table(header, self.verdicts())
        text = "\n\n".join([self._head(), verdicts, *sections])
        (self.folder / "summary.md").write_text(text + "\n", encoding="utf-8")
        found = {
            "machine": self._on.text,
            "on_gpu": self._on.on_gpu,
            "figures": self._figures,
            "trouble": self.trouble,
            "rows": self._rows,
        }
        path = self.folder / "results.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    def _head(self) -> str:
        return self._on.text if self._on.on_gpu else f"{CPU_NOTE}\n\n{self._on.text}"


def try_part(name: str, job: Job) -> parts.Tried:
    """Run a part; whatever it raises is a line of its trouble, so that the next one runs."""
    try:
        return PARTS[name].run(job)
    except (Exception, SystemExit) as error:
        with job.log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        return Measured(""), [f"{name}: {type(error).__name__}: {error}"]


def main() -> int:
    """Measure part by part; return 1 if a target was missed or a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and figures")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas; default: all")
    parser.add_argument("--seconds", type=float, default=510.0, help="of all parts together")
    parser.add_argument("--quick", action="store_true", help="little of each; always on a CPU")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md, too")
    args = parser.parse_args()
    chosen = [name for name in PARTS if name in args.parts.split(",")]
    if unknown := {*args.parts.split(",")} - {*PARTS}:
        parser.error(f"--parts: there are {', '.join(PARTS)}, but got {', '.join(sorted(unknown))}")
    began = time.monotonic()
    on = machine.look(use_gpu=not args.cpu)
    record = Record(args.out.resolve(), on, chosen)
    clock = Clock(args.seconds)
    shares = sum(PARTS[name].share for name in chosen)
    for name in chosen:
        own = Clock(clock.left * PARTS[name].share / shares)
        shares -= PARTS[name].share
        measure.say(f"{name}: at most {own.left:.0f} s")
        job = Job(on, args.quick or not on.on_gpu, record.log, own)
        measured, trouble = try_part(name, job)
        record.add(name, measured, trouble, job)
    record.took(time.monotonic() - began)
    text = (record.folder / "summary.md").read_text(encoding="utf-8")
    print(text)
    if args.record:
        measure.record(f"GPU, {on.name}", text.replace("\n## ", "\n### "))
    missed = any(row[4] == "MISSED" for row in record.verdicts())
    return int(missed or bool(record.trouble))


if __name__ == "__main__":
    raise SystemExit(main())
