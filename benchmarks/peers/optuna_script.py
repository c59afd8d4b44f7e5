"""A hyperparameter study with Optuna as people write it: the peer of ``benchmarks/study.py``.

In the style of optuna-examples ``pytorch_simple.py``, in its sensible version: the data sets are
built once, not in every trial. The training is ``pytorch_loop.py`` as shipped, the storage SQLite,
the sampler Optuna's default, one trial after the other with all of torch's threads. Every trial
reports each epoch; nothing is pruned.

    python benchmarks/peers/optuna_script.py --root DIR --trials trials.json --epochs 5 --db FILE

``trials.json`` holds the parameters of each trial; they are enqueued. The last line of its output
is JSON: state and value of each trial.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import optuna
import torch
from pytorch_loop import Net, load, loaders, train_epoch, validate
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR


def suggest_optimizer(trial: optuna.Trial, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer as ``trial`` suggests it."""
    names = ["sgd", "momentum", "nesterov", "adam", "adamw"]
    names += ["nadam", "rmsprop", "adadelta", "adagrad"]
    name = trial.suggest_categorical("optim.name", names)
    ranges = {
        "sgd": (1e-3, 0.8),
        "momentum": (1e-3, 0.2),
        "nesterov": (1e-3, 0.2),
        "adam": (5e-4, 3e-2),
        "adamw": (5e-4, 3e-2),
        "nadam": (5e-4, 3e-2),
        "rmsprop": (5e-4, 2e-2),
        "adadelta": (0.3, 12.0),
        "adagrad": (5e-3, 0.3),
    }
    options: dict[str, Any] = {"lr": trial.suggest_float(f"{name}.lr", *ranges[name], log=True)}
    if name in ("momentum", "nesterov"):
        options["momentum"] = trial.suggest_float(f"{name}.momentum", 0.8, 0.98)
        options["nesterov"] = name == "nesterov"
    if name in ("adam", "adamw", "nadam"):
        options["betas"] = (trial.suggest_float("optim.beta1", 0.8, 0.97), 0.999)
    if name == "rmsprop":
        options["alpha"] = trial.suggest_float("rmsprop.alpha", 0.9, 0.999)
    if name == "adadelta":
        options["rho"] = trial.suggest_float("adadelta.rho", 0.8, 0.99)
    if name == "adamw":
        decay = trial.suggest_categorical("adamw.weight_decay", [0.0, 0.01, 0.1, 1.0])
    else:
        decay = trial.suggest_categorical("l2", [0.0, 1e-5, 1e-4, 1e-3])
    options["weight_decay"] = decay
    classes = {
        "sgd": torch.optim.SGD,
        "momentum": torch.optim.SGD,
        "nesterov": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "nadam": torch.optim.NAdam,
        "rmsprop": torch.optim.RMSprop,
        "adadelta": torch.optim.Adadelta,
        "adagrad": torch.optim.Adagrad,
    }
    return classes[name](model.parameters(), **options)


def suggest_scheduler(
    trial: optuna.Trial, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """Return a scheduler that is stepped at each of ``steps`` batches."""
    name = trial.suggest_categorical("schedule.name", ["constant", "cosine", "one_cycle"])
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if name == "one_cycle":
        lr = optimizer.param_groups[0]["lr"]
        return OneCycleLR(optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False)
    return None


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--db", required=True)
    args = parser.parse_args()
    params = json.loads(args.trials.read_text())
    train_set, val_set = load(args.root, "net", 0)

    def objective(trial: optuna.Trial) -> float:
        torch.manual_seed(trial.number)
        model = Net()
        train_loader, val_loader = loaders(train_set, val_set)
        optimizer = suggest_optimizer(trial, model)
        scheduler = suggest_scheduler(trial, optimizer, args.epochs * len(train_loader))
        accuracy, images = 0.0, 0
        for epoch in range(args.epochs):
            images += train_epoch(model, train_loader, optimizer, scheduler)
            _, accuracy = validate(model, val_loader)
            trial.report(accuracy, epoch)
        trial.set_user_attr("images", images)
        return accuracy

    study = optuna.create_study(
        study_name="optimizers", storage=f"sqlite:///{args.db}", direction="maximize"
    )
    for one in params:
        study.enqueue_trial(one)
    study.optimize(objective, n_trials=len(params), n_jobs=1)
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value,
            "images": trial.user_attrs["images"],
            "params": trial.params,
        }
        for trial in study.trials
    ]
    print(json.dumps({"trials": trials}))


if __name__ == "__main__":
    main()
