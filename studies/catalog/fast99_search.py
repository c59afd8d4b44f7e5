"""How accurate is one epoch of full MNIST, in how many seconds? The presets ``fast99`` and so on.

Run: python -m studies.run fast99_search

Two objectives, accuracy and seconds, so the result is a Pareto front. MNIST is downloaded, or
--set data.root=FOLDER names the folder of its files.
"""

from search_spaces.time_to_accuracy import OPTIMIZERS, SPACE
from studies.spec import StudySpec

STUDY = StudySpec(
    name="fast99_search",
    goal="Which validation accuracy does one epoch of full MNIST reach in how many seconds, with "
    "AdamW and with Muon, over the network's size, norm, batch size, rates, averaging, smoothing "
    "and shifts?",
    minutes=10,
    space=SPACE,
    scientific="optim.name",
    objectives={"seconds": "minimize"},
    constraints={"seconds": 15},
    fixed={
        "data.name": "mnist",
        "model.name": "strided_cnn",
        "schedule.name": "one_cycle",
        "search.pruner": "none",  # one report, at the end
        "epochs": 1,
    },
    defaults={
        optimizer: {
            "model.norm": "batch",
            "model.depth": 3,
            "model.width": 16,
            "model.growth": 2.0,
            "model.kernel": 5,
            "model.head_width": 0,
            "batch_size": 128,
            "optim.lr": 1e-2,
            "optim.weight_decay": 0.05,
            "schedule.peak": 0.3,
            "label_smoothing": 0.0,
            "augment.shift": 0.0,
            "average.name": "none",
        }
        for optimizer in OPTIMIZERS
    },
    baseline="adamw",
    trials=80,
    trials_per_choice=16,
    confirm_seeds=4,
    quick={"search.trials": 6, "confirm.seeds": 3, "confirm.front": 2},
)
