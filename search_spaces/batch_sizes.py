"""Space of the study ``batch_size_search``: six batch sizes, each with its learning rate."""

from search_spaces.space import Choice, Float, Space

BATCH_SIZES = (64, 128, 256, 512, 1024, 2048)

# The range of the rate is the same for all and wide: from what suits 64 images a step down to what
# a one-cycle over some twenty steps of 2,048 can still use.
SPACE = Space(
    {
        "batch_size": Choice(BATCH_SIZES),
        "optim.lr": Float(3e-4, 1e-1, log=True),
        "optim.weight_decay": Choice((0.0, 0.01, 0.1, 1.0)),
        "schedule.name": Choice(("constant", "cosine", "one_cycle")),
    }
)
