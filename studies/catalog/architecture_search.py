"""Which classifier is best, if all are tuned equally?

Run: python -m studies.run architecture_search
"""

from search_spaces.architectures import ARCHITECTURES, SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SCREENED
from studies.spec import StudySpec

STUDY = StudySpec(
    name="architecture_search",
    goal="Which classifier (all but resnet18, which takes minutes an epoch) reaches the best "
    "validation accuracy in a fixed number of epochs, when each is given its own learning rate, "
    "weight decay and schedule?",
    minutes=5,
    space=SPACE,
    scientific="model.name",
    fixed={"optim.name": "adamw", "batch_size": 64, "epochs": 6} | SCREENED | MILD_AUGMENTATION,
    defaults={
        name: {"optim.lr": 1e-3, "optim.weight_decay": 0.01, "schedule.name": "constant"}
        for name in ARCHITECTURES
    },
    baseline="net",
    trials=48,
    trials_per_choice=5,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 8, "confirm.seeds": 3},
)
