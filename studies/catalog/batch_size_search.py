"""Does a larger batch train worse, if its learning rate is tuned and it sees as many images?

Run: python -m studies.run batch_size_search

Every trial sees the same number of images, so a batch of 2,048 takes 32 times fewer steps than a
batch of 64. What does a larger batch cost in accuracy and save in seconds?
"""

from search_spaces.batch_sizes import BATCH_SIZES, SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SCREENED
from studies.spec import StudySpec

STUDY = StudySpec(
    name="batch_size_search",
    goal="At the same number of images, does a larger batch reach a lower validation accuracy, "
    "when each batch size is given its own learning rate, weight decay and schedule?",
    minutes=3,
    space=SPACE,
    scientific="batch_size",
    fixed={"model.name": "net", "optim.name": "adamw", "epochs": 8} | SCREENED | MILD_AUGMENTATION,
    defaults={
        size: {"optim.lr": 1e-3, "optim.weight_decay": 0.01, "schedule.name": "constant"}
        for size in BATCH_SIZES
    },
    baseline=64,
    trials=48,
    trials_per_choice=7,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 6, "confirm.seeds": 3},
)
