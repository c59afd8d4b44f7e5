"""Space of the study ``optim_search``: nine optimizers, each with its own ranges."""

from search_spaces.space import Choice, Float, Space, When

OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "adamw",
    "nadam",
    "rmsprop",
    "adadelta",
    "adagrad",
)
_COUPLED = tuple(name for name in OPTIMIZERS if name != "adamw")


def _only(*names: str) -> When:
    return When("optim.name", names)


def _lr(name: str, low: float, high: float) -> Float:
    return Float(low, high, log=True, sets="optim.lr", when=_only(name))


# Every range of a learning rate holds torch's default and, well inside, what suits a small CNN
# trained for a few epochs at batch 64; one range for all would decide the comparison beforehand.
# The ends come from a scan of 4 to 9 rates for each (`net`, mnist-10pct, 5 epochs, batch 64, 1,000
# validation images, one seed, torch 2.15 on a CPU; most accurate rate constant / one_cycle): sgd
# 0.5 / 0.25-0.5, momentum 0.08 / 0.08, nesterov 0.03 / 0.08, adam 0.001 / 0.02, adamw 0.005 /
# 0.005-0.01, nadam 0.005 / 0.005-0.01, rmsprop 0.0025 / 0.005, adadelta 1 / 5, adagrad 0.03 / 0.1.
# Below the lower ends training is too slow, above the upper ones it diverges or gets worse; sgd,
# momentum and nesterov reach further down only to hold torch's 0.001. With label smoothing and
# augmentation, as the study fixes them, adam did best at 0.028 and beta1 0.80: on the bounds as
# they were then, so both were widened. Adagrad above 0.2 fails on some seeds.
SPACE = Space(
    {
        "optim.name": Choice(OPTIMIZERS),
        "sgd.lr": _lr("sgd", 1e-3, 0.8),
        "momentum.lr": _lr("momentum", 1e-3, 0.2),
        "nesterov.lr": _lr("nesterov", 1e-3, 0.2),
        "adam.lr": _lr("adam", 5e-4, 6e-2),
        "adamw.lr": _lr("adamw", 5e-4, 6e-2),
        "nadam.lr": _lr("nadam", 5e-4, 6e-2),
        "rmsprop.lr": _lr("rmsprop", 5e-4, 2e-2),
        "adadelta.lr": _lr("adadelta", 0.3, 12.0),
        "adagrad.lr": _lr("adagrad", 5e-3, 0.15),
        "momentum.momentum": Float(0.8, 0.98, sets="optim.momentum", when=_only("momentum")),
        "nesterov.momentum": Float(0.8, 0.98, sets="optim.momentum", when=_only("nesterov")),
        "optim.beta1": Float(0.7, 0.97, when=_only("adam", "adamw", "nadam")),
        "rmsprop.alpha": Float(0.8, 0.999, sets="optim.alpha", when=_only("rmsprop")),
        "adadelta.rho": Float(0.8, 0.99, sets="optim.rho", when=_only("adadelta")),
        # Weight decay is a Choice, not a logarithmic range, because torch's default is 0 for all
        # but adamw: so "none" is a point of the space. The values are L2 penalties for all but
        # adamw, where they are decoupled (each step shrinks the weights by lr * weight_decay).
        "l2": Choice((0.0, 1e-5, 1e-4, 1e-3), sets="optim.weight_decay", when=_only(*_COUPLED)),
        "adamw.weight_decay": Choice(
            (0.0, 0.01, 0.1, 1.0), sets="optim.weight_decay", when=_only("adamw")
        ),
        "schedule.name": Choice(("constant", "cosine", "one_cycle")),
    }
)
