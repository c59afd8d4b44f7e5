"""Space of the study ``architecture_search``: classifiers, each with its optimizer's settings."""

from search_spaces.space import Choice, Float, Space

ARCHITECTURES = (
    "net",
    "net_sigmoid",
    "net_deep",
    "mlp512",
    "lenet5",
    "cnn",
    "drawing_cnn",
    "flex_cnn",
)

# resnet18 is left out: one epoch of 5,000 images takes it about a minute on two cores, as much as
# the other seven take for a whole round of trials.
SPACE = Space(
    {
        "model.name": Choice(ARCHITECTURES),
        "optim.lr": Float(3e-4, 1e-1, log=True),
        "optim.weight_decay": Choice((0.0, 0.01, 0.1, 1.0)),
        "schedule.name": Choice(("constant", "cosine", "one_cycle")),
    }
)
