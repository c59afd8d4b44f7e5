"""With which loss does a Siamese network tell same from different digits best?

Run: python -m studies.run siamese_search
"""

from typing import Any

from search_spaces.siamese import LOSSES, SPACE
from studies.catalog._shared import SCREENED
from studies.spec import StudySpec

_OWN: dict[str, dict[str, Any]] = {
    "bce": {"model.head_width": 256, "model.dropout": 0.4},
    "contrastive": {"contrastive.margin": 1.0},
    "triplet": {"triplet.margin": 1.0},
    "supcon": {"loss.temperature": 0.1},
}

STUDY = StudySpec(
    name="siamese_search",
    goal="With which loss does the Siamese network tell unseen pairs apart best (ROC-AUC) after a "
    "fixed number of epochs, when each has its own encoder width, learning rate and augmentation?",
    minutes=11,
    objective="pairs",
    metric="val_roc_auc",
    space=SPACE,
    scientific="loss.name",
    fixed={
        "model.name": "siamese",
        "optim.name": "adamw",
        "schedule.name": "one_cycle",
        "augment.scale": 0.1,
        "augment.shear": 8.0,
        "batch_size": 256,
        "epochs": 5,
    }
    | SCREENED,
    defaults={
        loss: {
            **_OWN[loss],
            "model.width": 32,
            "optim.lr": 3e-3,
            "augment.rotate": 10.0,
            "augment.shift": 0.1,
        }
        for loss in LOSSES
    },
    baseline="bce",
    trials=32,
    trials_per_choice=6,
    confirm_seeds=4,
    quick={
        "epochs": 1,
        "pairs.per_epoch": 1000,
        "pairs.evaluation": 500,
        "search.trials": 4,
        "confirm.seeds": 3,
    },
)
