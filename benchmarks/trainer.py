"""Our trainer against PyTorch loops as people write them, on this machine's CPU.

    python benchmarks/trainer.py                     # net and cnn: about 20 minutes on two cores
    python benchmarks/trainer.py --models siamese    # also: resnet18
    python benchmarks/trainer.py --quick             # a few minutes a model, for a first look
    python benchmarks/trainer.py --record            # and write it down in RESULTS.md

What is compared: Adam, the same batches (64 images; 256 pairs), the same images, the same number of
epochs, validation after each epoch. Every measurement is a fresh process that first trains on a few
images (not counted), then trains once from new weights. The forms take turns, so that a noisy
minute hits all of them.

* ``ours``: precision and threads as the trainer chooses them; ``ours, fp32``: without bf16.
* ``peer as shipped``: ``peers/pytorch_loop.py`` without options, as pytorch/examples on a CPU.
* ``Lightning``: ``peers/lightning_loop.py``, the same as a LightningModule.
* ``peer tuned``: its fastest form out of loader workers 0, 1, 2 x torch threads 1, 2, all x
  persistent workers or not. All are tried; the ``--finalists`` fastest are measured as often as
  everything else, and the best median of those and of the shipped form counts.

Images/s are those of training alone: the validations' time is left out on both sides. The second
column of images/s has everything in it. Accuracy is that on the validation images after the last
epoch, mean and standard deviation over the repeats, each with its own seed. The share of the peak
is 3 x forward operations x images/s over the fastest matrix product in that precision. ``others``
is what other programs took of the processors during the most disturbed measurement; above a few per
cent the row cannot be trusted.
"""

import argparse
import importlib.util
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from measure import Result, Spread

OURS, OURS_FP32, SHIPPED, LIGHTNING = "ours", "ours, fp32", "peer as shipped", "Lightning"
NAMED = (OURS, OURS_FP32, SHIPPED, LIGHTNING)


@dataclass(frozen=True)
class Kind:
    """How a model is measured.

    Attributes:
        shipped: the factor to be reached against the peers as shipped.
        tuned: against the best tuned form.
        lightning: against Lightning; 0 (also of the others): none is asked for.
        batch_size: images or pairs a step.
        limit: training images (or pairs) an epoch, 0: all of the data set.
        of_all: share of ``--images`` that is measured; slow models get fewer.
    """

    shipped: float
    tuned: float
    lightning: float
    batch_size: int = 64
    limit: int = 0
    of_all: float = 1.0


KINDS = {
    "net": Kind(4.5, 4.0, 4.0),
    "cnn": Kind(4.5, 4.0, 4.0),
    "resnet18": Kind(2.5, 0.0, 0.0, limit=512, of_all=0.02),
    "siamese": Kind(3.5, 0.0, 0.0, batch_size=256, limit=12_000, of_all=0.6),
}


@dataclass(frozen=True)
class PeerForm:
    """One way to run the peer; 0 threads: torch's own choice."""

    workers: int = 0
    threads: int = 0
    persistent: bool = False

    @property
    def name(self) -> str:
        """What it is called in the table."""
        parts = [f"{self.workers} workers", f"{self.threads or 'all'} threads"]
        return f"peer, {', '.join([*parts, *(['persistent'] if self.persistent else [])])}"

    @property
    def arguments(self) -> list[object]:
        """Its command-line options."""
        options: list[object] = ["--num-workers", self.workers, "--threads", self.threads]
        return [*options, *(["--persistent-workers"] if self.persistent else [])]


@dataclass(frozen=True)
class Job:
    """What every form trains.

    Attributes:
        model: its name, the same on both sides.
        epochs: of one measured training.
        data: the data set's name.
        data_root: its folder, empty if embedded.
        peer_root: the same images in a folder for torchvision.
    """

    model: str
    epochs: int
    data: str
    data_root: str
    peer_root: Path

    @property
    def kind(self) -> Kind:
        """How the model is measured."""
        return KINDS[self.model]

    def ours(self, precision: str) -> Callable[[int], Result]:
        """Return a function that trains once with the given seed, by our trainer."""
        arguments = ["--data", self.data, "--data-root", self.data_root]
        return self._run("ours/train_once.py", [*arguments, "--precision", precision], self.epochs)

    def lightning(self) -> Callable[[int], Result]:
        """Return the same for Lightning."""
        return self._run("peers/lightning_loop.py", ["--root", self.peer_root], self.epochs)

    def peer(self, form: PeerForm, epochs: int | None = None) -> Callable[[int], Result]:
        """Return the same for the peer."""
        arguments = ["--root", self.peer_root, *form.arguments]
        return self._run("peers/pytorch_loop.py", arguments, epochs or self.epochs)

    def _run(self, script: str, arguments: list[object], epochs: int) -> Callable[[int], Result]:
        fixed = [*arguments, "--model", self.model, "--epochs", epochs]
        fixed += ["--batch-size", self.kind.batch_size, "--limit", self.kind.limit]
        return lambda seed: measure.run_undisturbed(script, [*fixed, "--seed", seed])


@dataclass(frozen=True)
class Form:
    """All measurements of one form."""

    name: str
    results: list[Result]

    @property
    def speed(self) -> Spread:
        """Images/s of training."""
        return Spread(tuple(r["images"] / r["train_seconds"] for r in self.results))

    @property
    def whole_speed(self) -> Spread:
        """Images/s, validations included."""
        return Spread(tuple(r["images"] / r["seconds"] for r in self.results))

    @property
    def accuracy(self) -> Spread:
        """Validation accuracy in per cent."""
        return Spread(tuple(100 * r["accuracy"] for r in self.results))


def grid(cores: int) -> list[PeerForm]:
    """Return the forms that are tried; the shipped one is not among them."""
    threads = sorted({1, 2, cores} & set(range(1, cores + 1)))
    return [
        PeerForm(workers, n, persistent)
        for workers in (0, 1, 2)
        for n in threads
        for persistent in ((False, True) if workers else (False,))
        if (workers, n) != (0, cores)  # that is what torch chooses by itself
    ]


def compare(job: Job, *, repeats: int, finalists: int, cores: int) -> dict[str, Form]:
    """Measure all forms of one model; the tuned forms are chosen on the way."""
    tried = {form.name: form for form in grid(cores)}
    scan = measure.interleave(
        {name: job.peer(form, epochs=max(1, job.epochs // 2)) for name, form in tried.items()},
        1,
        say=lambda text: measure.say(f"{job.model}: which form of the peer is fastest? {text}"),
    )
    fastest = sorted(tried, key=lambda name: scan[name][0]["train_seconds"])[:finalists]
    forms = {OURS: job.ours("auto"), OURS_FP32: job.ours("fp32"), SHIPPED: job.peer(PeerForm())}
    forms[LIGHTNING] = job.lightning()
    forms |= {name: job.peer(tried[name]) for name in fastest}
    results = measure.interleave(
        forms, repeats, say=lambda text: measure.say(f"{job.model}: {text}")
    )
    return {name: Form(name, values) for name, values in results.items()}


def report(job: Job, forms: dict[str, Form], peak: dict[str, Any]) -> str:
    """Return the table of one model and its verdicts."""
    _check_same_work(forms)
    shipped, lightning, ours = forms[SHIPPED], forms[LIGHTNING], forms[OURS]
    tuned = max(
        (form for name, form in forms.items() if name not in (OURS, OURS_FP32, LIGHTNING)),
        key=lambda form: form.speed.median,
    )
    rows = []
    for form in forms.values():
        precision = form.results[0]["precision"]
        work = 3 * peak["flops"][job.model] * form.speed.median / 1e9
        rows.append(
            [
                f"{form.name} ({precision}, {form.results[0]['threads']} threads)"
                if form.name in NAMED
                else form.name,
                f"{form.speed.median:,.0f}",
                form.speed.range(),
                f"{form.whole_speed.median:,.0f}",
                f"{form.speed.median / shipped.speed.median:.2f}",
                f"{form.speed.median / tuned.speed.median:.2f}",
                f"{form.accuracy.mean:.2f} ± {form.accuracy.deviation:.2f}",
                f"{100 * work / peak[precision]:.1f} %",
                f"{100 * max(r['others'] for r in form.results):.0f} %",
            ]
        )
    header = [
        f"`{job.model}`",
        "images/s",
        "min..max",
        "with validation",
        "x shipped",
        "x tuned",
        "accuracy %",
        "of GEMM peak",
        "others",
    ]
    what = "pairs" if job.model == "siamese" else "images"
    count, n = ours.results[0]["images"], len(ours.results)
    verdicts = [
        (shipped, "the peer as shipped", job.kind.shipped),
        (lightning, "Lightning", job.kind.lightning),
        (tuned, f"the peer's best tuned form ({tuned.name})", job.kind.tuned),
    ]
    return "\n".join(
        [
            measure.table(header, rows),
            "",
            f"{count:,} {what} a measurement ({job.epochs} epochs of {job.data}, batches of "
            f"{job.kind.batch_size}), medians of {n}, "
            f"{3 * peak['flops'][job.model] / 1e6:.1f} MFLOP each.",
            "",
            *(
                "- "
                + measure.verdict(
                    f"{job.model} against {name}",
                    ours.speed.median / form.speed.median,
                    target,
                    unit="x",
                )
                + _of_repeats(ours.speed, form.speed)
                for form, name, target in verdicts
                if target
            ),
            f"- {_accuracies(ours.accuracy, shipped.accuracy)}",
        ]
    )


def _of_repeats(ours: Spread, theirs: Spread) -> str:
    """Return the range of the ratio over the repeats, each of one turn of both."""
    ratios = [a / b for a, b in zip(ours.values, theirs.values, strict=True)]
    return f"; {min(ratios):.2f} to {max(ratios):.2f} in the {len(ratios)} turns"


def _accuracies(ours: Spread, peer: Spread) -> str:
    """Say whether two accuracies differ, by Welch's confidence interval."""
    from scipy import stats

    difference = ours.mean - peer.mean
    n = len(ours.values)
    if n < 3:
        return f"accuracy, ours less the peer's: {difference:+.2f} points; {n} seeds say no more"
    parts = [spread.deviation**2 / n for spread in (ours, peer)]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / max(sum(part**2 for part in parts) / (n - 1), 1e-12)
    half = float(stats.t.ppf(0.975, max(freedom, 1.0))) * error
    equal = "equal" if abs(difference) <= half else "NOT equal"
    return (
        f"accuracy, ours less the peer's: {difference:+.2f} points, "
        f"95 % interval ± {half:.2f} ({n} seeds each): {equal}"
    )


def _check_same_work(forms: dict[str, Form]) -> None:
    for entry in ("images", "parameters"):
        found = {r[entry] for form in forms.values() for r in form.results}
        if len(found) != 1:
            raise SystemExit(f"error: the forms differ in {entry}: {sorted(found)}")


def main() -> None:
    """Measure, print, and record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="net,cnn", help=f"with commas, of {', '.join(KINDS)}")
    parser.add_argument(
        "--images", type=int, default=20_000, help="a measurement; rounded up to whole epochs"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--finalists", type=int, default=2, help="tuned forms that are repeated")
    parser.add_argument("--data", choices=measure.DATA, default="10pct")
    parser.add_argument("--quick", action="store_true", help="3 repeats, 5,000 images")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.images = 3, 5000
    if importlib.util.find_spec("pytorch_lightning") is None:
        raise SystemExit("error: no pytorch_lightning; install the extra: pip install -e .[bench]")
    models = args.models.split(",")
    if not set(KINDS).issuperset(models):
        parser.error(f"--models: {', '.join(KINDS)} can be compared, but got {args.models!r}")

    data, data_root = measure.DATA[args.data], measure.data_root(args.data)
    measure.say("the machine's peak")
    peak = measure.run_program("ours/peak.py", [])
    sections = [
        f"GEMM peak with {peak['threads']} threads: {peak['fp32']:,.0f} GFLOP/s fp32, "
        f"{peak['bf16']:,.0f} bf16."
    ]
    with tempfile.TemporaryDirectory() as folder:
        peer_root = measure.torchvision_root(data, Path(folder), data_root)
        train_images = measure.count_images(peer_root)
        for model in models:
            kind = KINDS[model]
            an_epoch = kind.limit or train_images
            epochs = max(1, math.ceil(args.images * kind.of_all / an_epoch))
            job = Job(model, epochs, data, data_root, peer_root)
            forms = compare(
                job, repeats=args.repeats, finalists=args.finalists, cores=peak["threads"]
            )
            sections.append(report(job, forms, peak))
    text = "\n\n".join([measure.environment(peak["cpu"]), *sections])
    print(text)
    if args.record:
        measure.record(f"trainer, {args.models}", text)


if __name__ == "__main__":
    main()
