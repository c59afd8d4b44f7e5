"""Do hyperparameters that change during the training beat constant ones?

Run: python -m studies.run pbt_search

It runs on Ray on this machine. The trials are the members of a population, see docs/ray.md. The
first member is the default configuration; it is copied, but never changed.
"""

from search_spaces.midway import SPACE
from studies.spec import StudySpec

STUDY = StudySpec(
    name="pbt_search",
    goal="Does a schedule of learning rate, weight decay, label smoothing and augmentation that "
    "population based training finds beat the constant defaults in the same number of epochs?",
    minutes=2,
    space=SPACE,
    scientific="optim.name",
    fixed={
        "model.name": "net",
        "batch_size": 64,
        "epochs": 12,
        "augment.scale": 0.1,
        "augment.shear": 8.0,
        "engine.name": "ray",
        "engine.ray.scheduler": "pbt",
        "search.sampler": "random",
        "search.pruner": "none",
    },
    defaults={
        "adamw": {
            "optim.lr": 1e-3,
            "optim.weight_decay": 0.01,
            "label_smoothing": 0.1,
            "augment.shift": 0.07,
            "augment.rotate": 8.0,
        }
    },
    baseline="adamw",
    trials=8,
    trials_per_choice=0,
    confirm_seeds=4,
    quick={"epochs": 3, "engine.ray.pbt_interval": 1, "search.trials": 4, "confirm.seeds": 3},
)
