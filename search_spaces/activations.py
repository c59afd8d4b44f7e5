"""Space of the study ``activation_search``: seven activations, each with its learning rate."""

from search_spaces.space import Choice, Float, Space

ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu")

# One range holds for all: Adam's steps do not grow with the gradient, so what a saturating
# activation needs differs by a small factor only, and the range spans two decades.
SPACE = Space(
    {
        "model.activation": Choice(ACTIVATIONS),
        "optim.lr": Float(3e-4, 3e-2, log=True),
        "optim.beta1": Float(0.5, 0.97),
        "schedule.name": Choice(("constant", "cosine", "one_cycle")),
    }
)
