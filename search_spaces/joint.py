"""Space of the study ``joint_search``: optimizer, model, batch size and augmentation together."""

from search_spaces.space import Choice, Float, Int, Space, When

OPTIMIZERS = ("adamw", "nadam", "nesterov")


def _only(*names: str) -> When:
    return When("optim.name", names)


# The ranges are those in which the single studies found their best, somewhat widened: this space
# asks for the best combination, not for what each parameter does.
SPACE = Space(
    {
        "optim.name": Choice(OPTIMIZERS),
        "adamw.lr": Float(2e-3, 3e-2, log=True, sets="optim.lr", when=_only("adamw")),
        "adamw.weight_decay": Choice(
            (0.0, 0.01, 0.1), sets="optim.weight_decay", when=_only("adamw")
        ),
        "nadam.lr": Float(2e-3, 3e-2, log=True, sets="optim.lr", when=_only("nadam")),
        # The best were at 0.385 and at width 40 when 0.4 and 40 were the bounds.
        "nesterov.lr": Float(2e-2, 0.8, log=True, sets="optim.lr", when=_only("nesterov")),
        "nesterov.momentum": Float(0.8, 0.97, sets="optim.momentum", when=_only("nesterov")),
        "model.activation": Choice(("relu", "leaky_relu", "elu", "gelu", "silu")),
        "model.depth": Choice((3, 4, 5)),
        "model.width": Int(16, 56, step=8),
        "model.growth": Float(1.2, 1.8),
        "model.head_width": Choice((0, 64, 128)),
        "model.dropout": Float(0.0, 0.5),
        "batch_size": Choice((64, 128, 256)),
        "augment.shift": Float(0.0, 0.15),
        "augment.rotate": Float(0.0, 20.0),
        "augment.scale": Float(0.0, 0.2),
        "augment.shear": Float(0.0, 20.0),
    }
)
