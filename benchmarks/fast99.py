"""Seconds to an accuracy: the presets ``fast99`` and so on, and the script of pytorch/examples.

    python benchmarks/fast99.py --presets fast99 --record                  # some 15 minutes
    python benchmarks/fast99.py --presets fast99 --no-peer --no-test       # while one tries

Each training is a fresh process; the presets and the peer take turns. Of a preset: the median of
the seconds of training, and the mean accuracy on the test images, read once a seed, with the 95 %
interval of the mean over seeds. Everything in a preset was chosen on validation images. Of the
peer: seconds of its training loops until the first epoch whose accuracy on the same test images is
99 %, on all 60,000 training images, as it ships; a preset trains on 50,000 of them.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure

AIMS = {"fast99": 0.99, "fast994": 0.994, "fast997": 0.997, "siamese99": 0.99}
"""Mean test accuracy that a preset is to reach, by its name."""

PEER, FIFTY = "pytorch/examples", 50.0
SECONDS = {"fast99": 2.5}


def main() -> None:
    """Measure and print; with --record write into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["fast99"], choices=AIMS)
    parser.add_argument("--seeds", type=int, default=10, help="trainings of each preset")
    parser.add_argument("--peers", type=int, default=3, help="trainings of the peer")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-test", action="store_true", help="validation images only")
    parser.add_argument("--data", choices=measure.DATA, default="full")
    parser.add_argument("--epochs", type=int, default=0, help="of both; 0: their own")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        forms = {name: _ours(name, args) for name in args.presets}
        few = 0 if args.no_peer else min(args.peers, args.seeds)
        if few:
            root = whole_mnist(args.data, Path(folder))
            forms[PEER] = _theirs(root, args)
        results = measure.interleave(forms, few, say=measure.say)
        forms.pop(PEER, None)
        for seed in range(few, args.seeds):
            for name, form in forms.items():
                measure.say(f"seed {seed + 1}/{args.seeds}: {name}")
                results[name].append(form(seed))
    text = "\n\n".join([measure.environment(measure.cpu_name()), report(results)])
    print(text)
    if args.record:
        measure.record("seconds to an accuracy", text)


def whole_mnist(data: str, folder: Path) -> Path:
    """Write all training images and the test images as torchvision has them; return its root."""
    from mnist_core.data import idx, registry, storage

    data_set = registry.by_name(measure.DATA[data])
    source = storage.folder_of(data_set, measure.data_root(data))
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, images, labels in (
        ("train", data_set.train_images, data_set.train_labels),
        ("t10k", data_set.test_images, data_set.test_labels),
    ):
        pixels = storage.read_verified(data_set, images, source).images()
        classes = storage.read_verified(data_set, labels, source).labels()
        idx.write_images(raw / f"{name}-images-idx3-ubyte", pixels)
        idx.write_labels(raw / f"{name}-labels-idx1-ubyte", classes)
    return folder


def report(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table and a verdict on each aim."""
    rows, verdicts = [], []
    theirs = measure.Spread(tuple(one["train_seconds"] for one in results.get(PEER, [])))
    for name, found in results.items():
        seconds = measure.Spread(tuple(one["train_seconds"] for one in found))
        if name == PEER:
            rows.append(_peer_row(found, seconds))
            continue
        validation = [one["validation"] for one in found]
        test = [one["test"] for one in found if "test" in one]
        times = f"{theirs.median / seconds.median:.0f}" if theirs.values else "-"
        others = max(one["others"] for one in found)
        rows.append(
            [
                name,
                str(len(found)),
                f"{seconds.median:.2f}",
                seconds.range(2),
                percent(validation),
                percent(test) if test else "-",
                times,
                f"{100 * others:.0f} %",
            ]
        )
        if test:
            mean = 100 * sum(test) / len(test)
            met = "met" if mean >= 100 * AIMS[name] else "missed"
            aim = f"target >= {100 * AIMS[name]:.1f} %: {met}"
            verdicts.append(f"{name}: test accuracy: {mean:.3f} % ({aim})")
        if name in SECONDS:
            said = f"{name}: seconds of training"
            verdicts.append(
                measure.verdict(said, seconds.median, SECONDS[name], unit=" s", at_most=True)
            )
            if theirs.values:
                ratio = theirs.median / seconds.median
                verdicts.append(measure.verdict(f"{PEER} / {name}", ratio, FIFTY, unit=" times"))
    header = ["", "n", "s, median", "min..max", "validation %", "test %", "peer / it", "others"]
    return "\n\n".join([measure.table(header, rows), "\n".join(f"- {one}" for one in verdicts)])


def percent(accuracies: Sequence[float]) -> str:
    """Return the mean in %, and the 95 % interval of the mean if there are several."""
    values = measure.Spread(tuple(100 * one for one in accuracies))
    if len(accuracies) < 2:
        return f"{values.mean:.2f}"
    from scipy.stats import t

    n = len(accuracies)
    half = float(t.ppf(0.975, n - 1)) * values.deviation / math.sqrt(n)
    return f"{values.mean:.3f} ± {half:.3f}"


def _peer_row(found: list[dict[str, Any]], seconds: measure.Spread) -> list[str]:
    last = [one["accuracies"][-1] for one in found]
    name = PEER if all(one["reached"] for one in found) else f"{PEER} (target not reached)"
    epochs = "/".join(str(one["epochs"]) for one in found)
    others = max(one["others"] for one in found)
    return [
        f"{name}, {epochs} epochs",
        str(len(found)),
        f"{seconds.median:.1f}",
        seconds.range(1),
        "-",
        percent(last),
        "1",
        f"{100 * others:.0f} %",
    ]


def _ours(name: str, args: argparse.Namespace) -> Callable[[int], dict[str, Any]]:
    def run(seed: int) -> dict[str, Any]:
        words: list[object] = ["--preset", name, "--seed", seed, "--threads", args.threads]
        words += ["--data", measure.DATA[args.data], "--data-root", measure.data_root(args.data)]
        words += ["--epochs", args.epochs, *(["--no-test"] if args.no_test else [])]
        return measure.run_undisturbed("ours/train_preset.py", words)

    return run


def _theirs(root: Path, args: argparse.Namespace) -> Callable[[int], dict[str, Any]]:
    def run(seed: int) -> dict[str, Any]:
        words: list[object] = ["--root", root, "--seed", seed + 1, "--threads", args.threads]
        words += ["--epochs", args.epochs] if args.epochs else []
        # Once: a repeat of minutes would rarely be less disturbed.
        measure.wait_for_quiet()
        return measure.run_program("peers/pytorch_examples.py", words)

    return run


if __name__ == "__main__":
    main()
