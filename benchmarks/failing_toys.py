"""How often a sampler proposes what fails: five toys, each with a failing region of its own shape.

    python benchmarks/failing_toys.py tpe random --seeds 5

Nothing is trained. With ``--untaught`` each failure counts as a lost worker, which teaches the
sampler nothing. A line holds the number of failed trials of 60: the mean and range over the seeds.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces.space import Choice, Float, Space
from studies.core.attributes import FAILURE
from studies.search.optuna_bridge import suggest
from studies.search.samplers import Search, create_sampler

Params = Mapping[str, Any]
TRIALS = 60
SPACE = Space(
    {
        "optim.name": Choice(("adam", "sgd")),
        "optim.lr": Float(1e-4, 1e-1, log=True),
        "augment.shift": Float(0.0, 0.2),
    }
)


def peak(params: Params) -> float:
    """Best at a learning rate of 5e-3 and a shift of 0.1."""
    off = math.log10(params["optim.lr"]) - math.log10(5e-3)
    return 0.98 - 0.02 * off**2 - (params["augment.shift"] - 0.1) ** 2


def rising(params: Params) -> float:
    """Better the larger the learning rate, up to where it fails."""
    return 0.98 + 0.01 * (math.log10(params["optim.lr"]) + 2)


def disc(params: Params) -> bool:
    """Fails around a learning rate of 2e-2 and a shift of 0.1: a fifth of the space."""
    across = (math.log10(params["optim.lr"]) + 1.7) / 3
    return math.hypot(across, params["augment.shift"] / 0.2 - 0.5) < 0.25


TOYS: dict[str, tuple[Callable[[Params], bool], str, Callable[[Params], float]]] = {
    "lr > 1e-2 and shift < 0.15": (
        lambda p: p["optim.lr"] > 1e-2 and p["augment.shift"] < 0.15,
        "OutOfMemory",
        peak,
    ),
    "lr > 1e-2, better towards it": (lambda p: p["optim.lr"] > 1e-2, "NonFiniteLoss", rising),
    "adam with lr > 2e-3": (
        lambda p: p["optim.name"] == "adam" and p["optim.lr"] > 2e-3,
        "OutOfMemory",
        peak,
    ),
    "a disc beside the optimum": (disc, "OutOfMemory", peak),
    "all but a narrow band of lr": (
        lambda p: not 3e-3 < p["optim.lr"] < 7.4e-3,
        "OutOfMemory",
        peak,
    ),
}
"""Where each fails, with which kind of failure, and its values elsewhere."""


def run(sampler: str, toy: str, seed: int, *, taught: bool = True) -> tuple[int, float]:
    """Return how many of the trials fail, and the best value."""
    fails, kind, value = TOYS[toy]
    study = optuna.create_study(direction="maximize")
    search = Search(space=SPACE, scientific="optim.name", seed=seed, trials=TRIALS)
    failed, best = 0, -math.inf
    for number in range(TRIALS):
        # A sampler for each trial, as the book has it.
        study.sampler = create_sampler(sampler, {}, search, seed=1000 * seed + number)
        trial = study.ask()
        params = suggest(SPACE, trial)
        if fails(params):
            failed += 1
            reason = {"kind": kind if taught else "WorkerLost", "message": "", "traceback": ""}
            trial.set_user_attr(FAILURE, reason)
            study.tell(trial, state=TrialState.FAIL)
        else:
            best = max(best, value(params))
            study.tell(trial, value(params))
    return failed, best


def main() -> None:
    """Print a line for each toy and sampler."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samplers", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--untaught", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for toy in TOYS:
        for sampler in options.samplers:
            runs = [
                run(sampler, toy, seed, taught=not options.untaught)
                for seed in range(options.seeds)
            ]
            failed = [one for one, _ in runs]
            print(
                f"{toy:<30} {sampler:<7} {statistics.mean(failed):5.1f}"
                f"  ({min(failed)} to {max(failed)})"
                f"  best {statistics.mean(best for _, best in runs):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
