"""A script with Ray Tune, which ``test_ray_adapter.py`` runs: ``tune_script.py RESULTS ROOT``.

It prints JSON: what Tune found with ``as_ray_trainable``, beside plain trainings.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.optuna import OptunaSearch

from mnist_core.config import TrainConfig
from mnist_core.data import load
from mnist_core.train import train
from objectives.classification import Classification
from objectives.optuna_objective import trial_seed
from objectives.ray_trainable import as_ray_trainable
from search_spaces.space import Choice, Float, Space, When

RESULTS, ROOT = Path(sys.argv[1]).absolute(), sys.argv[2]
SPACE = Space({"lr": Float(1e-4, 0.1, log=True, sets="optim.lr")})
BASE = TrainConfig().override(
    {
        "data.name": "folder",
        "data.root": ROOT,
        "model.name": "lenet5",
        "epochs": 3,
        "device": "cpu",
        "threads": 1,
    }
)
CHEAP = Space(
    {"kind": Choice(("a", "b")), "x": Float(0, 1), "y": Float(1, 2, when=When("kind", ("a",)))}
)


def cheap(params, *, seed, report):
    for step in range(1, 5):
        report(step, {"score": params["x"] * step, "seed": seed})
    return {"score": params["x"] * 4, "seed": seed}


@dataclass(frozen=True, kw_only=True)
class Killed(Classification):
    """Its process dies after the second report, once."""

    def __call__(self, task, report):
        def passed_on(step, metrics):
            report(step, metrics)
            marker = RESULTS / "was_killed"
            if step == 2 and not marker.exists():
                marker.touch()
                os._exit(1)

        return super().__call__(task, passed_on)


def fit(name, trainable, space, samples, *, failures=0, **settings):
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=space.to_ray(),
        tune_config=tune.TuneConfig(mode="max", num_samples=samples, reuse_actors=True, **settings),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(RESULTS),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=failures),
        ),
    )
    found = tuner.fit()
    assert not found.errors, found.errors
    return list(found)


def with_search_and_asha():
    trainable = as_ray_trainable(cheap, CHEAP, seed=5, metric="score")
    search, asha = OptunaSearch(seed=0), ASHAScheduler(max_t=4, reduction_factor=2)
    return [
        {
            "params": CHEAP.from_ray(one.config),
            "score": one.metrics["score"],
            "seed": one.metrics["seed"],
            "step": one.metrics["step"],
        }
        for one in fit(
            "asha", trainable, CHEAP, 6, metric="score", search_alg=search, scheduler=asha
        )
    ]


def trained(name, objective, samples, **settings):
    """Return what Tune found of trainings, and what each is by its checkpoint."""
    trainable = as_ray_trainable(objective, SPACE, seed=5)
    rows = []
    for one in fit(name, trainable, SPACE, samples, **settings):
        with one.checkpoint.as_directory() as folder:
            lineage = json.loads((Path(folder) / "training.json").read_text())
        rows.append({"metrics": one.metrics, "lineage": lineage})
    return rows


def by_itself(lineage):
    settings = {**SPACE.settings(lineage["params"]), "seed": lineage["seed"]}
    if lineage["changes"]:
        settings["changes"] = lineage["changes"]
    config = BASE.override(settings)
    return dict(train(config, load(config.data)).metrics)


def with_population():
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=2,  # of 3: a copy has something left to train
        quantile_fraction=0.5,
        hyperparam_mutations=SPACE.to_ray(),
        custom_explore_fn=SPACE.clipped,
        synch=True,
    )
    objective = Classification(BASE, SPACE)
    return trained("pbt", objective, 2, metric="val_accuracy", scheduler=scheduler)


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    found = {
        "asha": with_search_and_asha(),
        "pbt": with_population(),
        "killed": trained("killed", Killed(BASE, SPACE), 1, failures=2, metric="val_accuracy"),
    }
    ray.shutdown()
    for row in (*found["pbt"], *found["killed"]):
        row["by_itself"] = by_itself(row["lineage"])
    found["seeds"] = [trial_seed(5, number) for number in range(8)]
    print(json.dumps(found, default=str))
