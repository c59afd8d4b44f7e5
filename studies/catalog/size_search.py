"""How accurate can a CNN of each size be? Accuracy against the number of parameters.

Run: python -m studies.run size_search

It has two objectives, so the result is a Pareto front: the configurations that no other
configuration beats in both. Models with more than 300,000 parameters are not trained.
"""

from search_spaces.size import POOLS, SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SMALL_NETWORK
from studies.spec import StudySpec

STUDY = StudySpec(
    name="size_search",
    goal="Which accuracy does a small CNN reach with how many parameters, at most 300,000, in a "
    "fixed number of epochs?",
    minutes=8,
    space=SPACE,
    scientific="model.global_pool",
    objectives={"parameters": "minimize"},
    constraints={"parameters": 300_000},
    fixed=SMALL_NETWORK | MILD_AUGMENTATION,
    defaults={
        pool: {
            "model.depth": 2,
            "model.width": 16,
            "model.growth": 1.4,
            "model.head_width": 128 if not pool else 0,
            "optim.lr": 1e-2,
        }
        for pool in POOLS
    },
    baseline=False,
    trials=40,
    trials_per_choice=8,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 6, "confirm.seeds": 3, "confirm.front": 2},
)
