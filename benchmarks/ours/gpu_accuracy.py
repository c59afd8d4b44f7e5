"""Trainings of one recipe with seeds of their own, timed, for ``benchmarks/gpu.py``.

    python benchmarks/ours/gpu_accuracy.py --recipe fast99 --device cuda --seeds 10

Each line of its output is JSON, one a training: ``train_seconds`` and ``seconds``, without and with
the validations, and ``accuracy`` on the validation images. A training on a few images comes first
and does not count, so the process's own start is not in them; the recording of a graph is.
"""

import argparse
import dataclasses
import json

from on_gpu import recipes

from mnist_core.data import Split, load
from mnist_core.device import runtime
from mnist_core.errors import ConfigError
from mnist_core.train import resolve, train

WARM_UP_IMAGES = 1280


def main() -> None:
    """Train and print, seed by seed, each with and without a graph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default=recipes.FAST99)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", default="")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--limit", type=int, default=0, help="training images; 0: all")
    args = parser.parse_args()
    _, config = recipes.config(args.recipe)
    config = config.override(
        {"data.name": args.data, "data.root": args.data_root, "device": args.device}
    )
    forms = {}
    for graph in (False, True):
        form = config.override({"cuda_graph": graph})
        try:
            resolve(form)
        except ConfigError as error:
            print(json.dumps({"graph": graph, "refused": str(error)}), flush=True)
        else:
            forms[graph] = form
    data = load(config.data, runtime.resolve(config).device)
    few = Split(data.train.images[:WARM_UP_IMAGES], data.train.labels[:WARM_UP_IMAGES])
    if args.limit:
        images = Split(data.train.images[: args.limit], data.train.labels[: args.limit])
        data = dataclasses.replace(data, train=images)
    for form in forms.values():
        train(form.override({"epochs": 1}), dataclasses.replace(data, train=few))
    for seed in range(args.seeds):
        for graph, form in forms.items():
            result = train(form.override({"seed": seed}), data)
            row = {
                "graph": graph,
                "seed": seed,
                "data": args.data,
                "precision": result.config.precision,
                "train_seconds": result.train_seconds,
                "seconds": result.seconds,
                "accuracy": result.metrics["val_accuracy"],
                "images": result.images,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
