"""Hyperparameters of an AdamW training that can change while it runs."""

from search_spaces.space import Choice, Float, Space

SPACE = Space(
    {
        "optim.name": Choice(("adamw",)),
        "optim.lr": Float(1e-4, 2e-2, log=True),
        "optim.weight_decay": Float(1e-4, 0.5, log=True),
        "label_smoothing": Float(0.0, 0.2),
        "augment.shift": Float(0.0, 0.15),
        "augment.rotate": Float(0.0, 15.0),
    }
)
