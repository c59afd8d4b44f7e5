"""Space of the study ``depth_width_search``: layers, widths, kernel and head of ``flex_cnn``."""

from search_spaces.space import Choice, Float, Int, Space

DEPTHS = (1, 2, 3, 4, 5)

# Bounds: five layers of 48 channels growing by 1.6 end at 312 channels, about 3 million parameters;
# more would take minutes a trial on two cores. The learning rate is searched with them, as a deeper
# network needs another one.
SPACE = Space(
    {
        "model.depth": Choice(DEPTHS),
        "model.width": Int(8, 48, log=True),
        "model.growth": Float(1.0, 1.6),
        "model.kernel": Choice((3, 5)),
        "model.head_width": Choice((0, 64, 128, 256)),
        "optim.lr": Float(5e-4, 3e-2, log=True),
    }
)
