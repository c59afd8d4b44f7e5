"""A hyperparameter study with Ray Tune as its documentation shows it: a peer of ``ray_tune.py``.

A function trainable, a ``DataLoader`` loop (``pytorch_loop.py`` as shipped), ``tune.report`` after
each epoch, ``Tuner`` with a list of configurations, one CPU a trial, Tune's defaults otherwise. It
uses nothing of this project.

    python benchmarks/peers/ray_tune_script.py --root DIR --trials trials.json --epochs 5 --out DIR

The last line of its output is JSON: one entry a trial.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna_script import suggest_optimizer, suggest_scheduler
from pytorch_loop import Net, load, loaders, train_epoch, validate
from ray import tune


def train(config: dict[str, Any]) -> None:
    """Train one configuration."""
    torch.manual_seed(0)
    chosen = optuna.trial.FixedTrial(config["params"])
    train_set, val_set = load(config["root"], "net", 0)
    train_loader, val_loader = loaders(train_set, val_set)
    model = Net()
    optimizer = suggest_optimizer(chosen, model)
    scheduler = suggest_scheduler(chosen, optimizer, config["epochs"] * len(train_loader))
    images = 0
    for _ in range(config["epochs"]):
        images += train_epoch(model, train_loader, optimizer, scheduler)
        _, accuracy = validate(model, val_loader)
        tune.report({"accuracy": accuracy, "images": images})


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", required=True, help="absolute path of a folder")
    args = parser.parse_args()
    params = json.loads(args.trials.read_text())
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            "params": tune.grid_search(params),
            "root": args.root,
            "epochs": args.epochs,
        },
        tune_config=tune.TuneConfig(metric="accuracy", mode="max"),
        run_config=tune.RunConfig(storage_path=args.out, verbose=0),
    )
    trials = [
        {
            "state": "FAIL" if result.error else "COMPLETE",
            "value": result.metrics["accuracy"],
            "images": result.metrics["images"],
            # As Tune keeps them: of the last report, and from the function's begin to there.
            "begin": result.metrics["timestamp"] - result.metrics["time_total_s"],
            "end": result.metrics["timestamp"],
        }
        for result in tuner.fit()
    ]
    print(json.dumps({"trials": trials}))


if __name__ == "__main__":
    main()
