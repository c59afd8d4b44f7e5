"""Which activation suits the small CNN best, each with its own learning rate?

Run: python -m studies.run activation_search
"""

from search_spaces.activations import ACTIVATIONS, SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SCREENED
from studies.spec import StudySpec

STUDY = StudySpec(
    name="activation_search",
    goal="Which activation gives the small CNN the best validation accuracy in a fixed number of "
    "epochs, when each is given its own learning rate and schedule?",
    minutes=3,
    space=SPACE,
    scientific="model.activation",
    fixed={"model.name": "net", "optim.name": "adam", "batch_size": 64, "epochs": 6}
    | SCREENED
    | MILD_AUGMENTATION,
    defaults={
        name: {"optim.lr": 1e-3, "optim.beta1": 0.9, "schedule.name": "constant"}
        for name in ACTIVATIONS
    },
    baseline="relu",
    trials=49,
    trials_per_choice=6,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 7, "confirm.seeds": 3},
)
