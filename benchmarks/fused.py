"""Trainings whose steps are computed together, against the same one after the other.

    python benchmarks/fused.py                             # net, cnn, flex_cnn, siamese; 2, 4, 8
    python benchmarks/fused.py --models net --members 8,16 --batch 64 --rounds 7
    python benchmarks/fused.py --record                    # write it into RESULTS.md, too

Both sides run in one process and by turns: a round is ``--steps`` steps of each training, one
training after the other, and then the same steps together. The table has the median seconds of the
rounds, the median and range of their ratios, and the training loss of each side's first steps,
which must agree. The engine ``fused`` does the same measurement before trainings share their steps.
"""

import argparse
import statistics

import measure

from mnist_core import train
from mnist_core.config import TrainConfig
from mnist_core.data import load
from mnist_core.device import runtime
from mnist_core.stacked import gain

MODELS = ("net", "cnn", "flex_cnn", "siamese")


def row(config: TrainConfig, members: int, *, steps: int, rounds: int) -> list[str]:
    """Return a line of the table."""
    data = load(config.data, runtime.resolve(config).device)
    found = gain.measure(config, data, members, steps=steps, rounds=rounds)
    ratios = [a / b for a, b in zip(found.alone, found.together, strict=True)]
    return [
        config.model.name,
        str(members),
        f"{1e3 * statistics.median(found.alone):.2f}",
        f"{1e3 * statistics.median(found.together):.2f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{found.loss_alone:.4f}",
        f"{found.loss_together:.4f}",
    ]


def main() -> None:
    """Measure each model with each number of members, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS), help="with commas")
    parser.add_argument("--members", default="2,4,8", help="trainings at once, with commas")
    parser.add_argument("--batch", type=int, default=64, help="images or pairs a batch")
    parser.add_argument("--steps", type=int, default=10, help="of each training in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md, too")
    args = parser.parse_args()
    rows = []
    for name in args.models.split(","):
        asked = {
            "model.name": name,
            "batch_size": args.batch,
            "device": args.device,
            "precision": args.precision,
            "threads": args.threads,
        }
        config = train.resolve(TrainConfig().override(asked))
        for members in map(int, args.members.split(",")):
            rows.append(row(config, members, steps=args.steps, rounds=args.rounds))
            measure.say(" ".join(rows[-1]))
    header = ["model", "trainings", "alone ms", "together ms", "times as fast", "range"]
    header += ["loss alone", "loss together"]
    text = (
        f"{config.device}, {config.precision}, {config.threads} threads, batch {args.batch};"
        f" {args.rounds} rounds of {args.steps} steps\n\n{measure.table(header, rows)}"
    )
    print(text)
    if args.record:
        measure.record(f"Trainings together, {config.device}", text)


if __name__ == "__main__":
    main()
