"""How wide should the hidden layer of my model be?"""

from search_spaces.space import Choice, Float, Space
from studies.spec import StudySpec

WIDTHS = (32, 128, 512)

STUDY = StudySpec(
    name="my_study",  # the file's name
    goal="Which width of the hidden layer is best, when each has its own learning rate?",
    space=Space(
        {
            "model.head_width": Choice(WIDTHS),
            "optim.lr": Float(3e-4, 3e-2, log=True),
        }
    ),
    scientific="model.head_width",  # what is compared; the rest of the space is tuned for each
    fixed={"model.name": "my_model", "epochs": 3},
    defaults={width: {"optim.lr": 1e-3} for width in WIDTHS},
    baseline=128,
    trials=24,
    trials_per_choice=6,
    quick={"epochs": 1, "search.trials": 6, "search.trials_per_choice": 2},
)
