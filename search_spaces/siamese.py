"""Space of the study ``siamese_search``: loss, encoder, head and augmentation of ``siamese``."""

from search_spaces.space import Choice, Float, Int, Space, When

LOSSES = ("bce", "contrastive", "triplet", "supcon")

# The head that turns two embeddings into a score is trained by bce only; the metric losses compare
# distances, so they have a margin or a temperature instead.
SPACE = Space(
    {
        "loss.name": Choice(LOSSES),
        "contrastive.margin": Float(
            0.3, 3.0, log=True, sets="loss.margin", when=When("loss.name", ("contrastive",))
        ),
        "triplet.margin": Float(
            0.1, 2.0, log=True, sets="loss.margin", when=When("loss.name", ("triplet",))
        ),
        "loss.temperature": Float(0.01, 1.0, log=True, when=When("loss.name", ("supcon",))),
        "model.head_width": Choice((128, 256), when=When("loss.name", ("bce",))),
        "model.dropout": Float(0.0, 0.5, when=When("loss.name", ("bce",))),
        "model.width": Int(16, 40, step=8),
        "optim.lr": Float(3e-4, 3e-2, log=True),
        "augment.rotate": Float(0.0, 20.0),
        "augment.shift": Float(0.0, 0.15),
    }
)
