"""How deep should a small CNN be, if each depth has its own widths, kernel, head and rate?

Run: python -m studies.run depth_width_search
"""

from search_spaces.depth_width import DEPTHS, SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SCREENED, SMALL_NETWORK
from studies.spec import StudySpec

STUDY = StudySpec(
    name="depth_width_search",
    goal="How many convolutions (the first three with a pooling each) give the best validation "
    "accuracy in a fixed number of epochs, when each depth is given its own widths, kernel, head "
    "and learning rate?",
    minutes=5,
    space=SPACE,
    scientific="model.depth",
    fixed=SMALL_NETWORK | SCREENED | MILD_AUGMENTATION,
    defaults={
        depth: {
            "model.width": 24,
            "model.growth": 1.4,
            "model.kernel": 3,
            "model.head_width": 128,
            "optim.lr": 5e-3,
        }
        for depth in DEPTHS
    },
    baseline=2,
    trials=45,
    trials_per_choice=7,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 5, "confirm.seeds": 3},
)
