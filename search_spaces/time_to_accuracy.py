"""Space of the study ``fast99_search``: what makes a short training cheap, or makes it learn more.

The list of tricks follows the fast trainings of small image models (Jordan 2024,
arXiv:2404.00498), as far as the trainer has them.
"""

from search_spaces.space import Choice, Float, Int, Space, When

OPTIMIZERS = ("adamw", "muon")

# The size of the network decides the seconds, the rest what it learns in them.
SPACE = Space(
    {
        "optim.name": Choice(OPTIMIZERS),
        "model.norm": Choice(("none", "batch")),
        "model.depth": Int(2, 4),
        "model.width": Int(8, 32, step=8),
        "model.growth": Float(1.0, 2.5),
        "model.kernel": Choice((3, 5, 7)),
        "model.head_width": Choice((0, 64, 128)),
        "batch_size": Choice((64, 128, 256, 512)),
        "optim.lr": Float(2e-3, 5e-2, log=True),
        "optim.weight_decay": Float(1e-3, 0.3, log=True),
        "schedule.peak": Float(0.05, 0.5),
        "label_smoothing": Choice((0.0, 0.05, 0.1)),
        "augment.shift": Choice((0.0, 0.04, 0.08)),
        "average.name": Choice(("none", "ema")),
        "average.decay": Float(0.9, 0.995, when=When("average.name", ("ema",))),
    }
)
