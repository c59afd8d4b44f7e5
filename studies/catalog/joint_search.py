"""How good can a small CNN get on 5,000 digits, if everything is searched together?

Run: python -m studies.run joint_search

Hyperband gives most configurations only a few epochs of a one-cycle schedule that ends with the
last epoch.
"""

from typing import Any

from search_spaces.joint import OPTIMIZERS, SPACE
from studies.spec import StudySpec

_OWN: dict[str, dict[str, Any]] = {
    "adamw": {"adamw.lr": 6e-3, "adamw.weight_decay": 0.01},
    "nadam": {"nadam.lr": 6e-3},
    "nesterov": {"nesterov.lr": 0.1, "nesterov.momentum": 0.9},
}

STUDY = StudySpec(
    name="joint_search",
    goal="Which combination of optimizer, activation, widths, depth, batch size and augmentation "
    "gives a small CNN the best validation accuracy after 30 epochs of 5,000 images?",
    minutes=80,
    space=SPACE,
    scientific="optim.name",
    fixed={
        "model.name": "flex_cnn",
        "model.norm": "batch",
        "schedule.name": "one_cycle",
        "label_smoothing": 0.05,
        "epochs": 30,
        "search.pruner": "hyperband",
        "search.pruner_options": {"min_resource": 3, "max_resource": 30, "reduction_factor": 3},
    },
    defaults={
        name: {
            **_OWN[name],
            "model.activation": "relu",
            "model.depth": 4,
            "model.width": 32,
            "model.growth": 1.4,
            "model.head_width": 128,
            "model.dropout": 0.3,
            "batch_size": 128,
            "augment.shift": 0.08,
            "augment.rotate": 10.0,
            "augment.scale": 0.1,
            "augment.shear": 8.0,
        }
        for name in OPTIMIZERS
    },
    baseline="adamw",
    trials=50,
    trials_per_choice=8,
    confirm_seeds=4,
    quick={
        "epochs": 1,
        "search.pruner_options": {"min_resource": 1, "max_resource": 1},
        "search.trials": 3,
        "confirm.seeds": 3,
    },
)
