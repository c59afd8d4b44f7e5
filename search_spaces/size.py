"""Space of the study ``size_search``: the size of ``flex_cnn``, with the rate that suits it."""

from search_spaces.space import Choice, Float, Int, Space

POOLS = (True, False)

# From one layer of 8 channels whose mean goes to the logits, 178 parameters, to one layer of 48
# with 256 hidden units, 2.4 million. ``global_pool`` decides most: without it the head sees every
# pixel of the last layer, and has most of the parameters.
SPACE = Space(
    {
        "model.global_pool": Choice(POOLS),
        "model.depth": Int(1, 4),
        "model.width": Int(8, 48, log=True),
        "model.growth": Float(1.0, 1.6),
        "model.head_width": Choice((0, 32, 128, 256)),
        "optim.lr": Float(2e-3, 3e-2, log=True),
    }
)
