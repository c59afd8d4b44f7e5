"""Which trainings can share their steps: those that compute the same with other numbers."""

import json

from mnist_core import losses
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.stacked.updates import RULES

MODELS = (
    "cnn",
    "drawing_cnn",
    "flex_cnn",
    "lenet5",
    "mlp512",
    "net",
    "net_deep",
    "net_sigmoid",
    "pair_concat",
    "siamese",
    "siamese_flex",
    "strided_cnn",
)
"""Models that tests/mnist_core/test_stacked.py compares with lone trainings."""

_OWN = (
    "seed",
    "epochs",
    "reports_per_epoch",
    "early_stopping",
    "grad_clip",
    "schedule",
    "augment",
    "average",
    "changes",
)
"""Settings in which members of a stack may differ, beside those of the optimizer and dropout."""


def why_alone(config: TrainConfig, *, follow: bool = False) -> str:
    """Return why the training of the resolved ``config`` shares no steps; "": it can."""
    if config.model.name not in MODELS:
        return f"model {config.model.name}"
    if config.optim.name not in RULES:
        return f"optimizer {config.optim.name}"
    if losses.embeds(config.loss):
        return f"loss {config.loss.name}"  # its model has a head that is not trained
    if config.loss.name is not None and config.loss.name not in losses.LOSSES:
        return f"loss {config.loss.name}"
    if config.changes:
        return "its settings change midway"
    if config.precision == "fp16":
        return "precision fp16"  # each member would have a scale of its own
    if config.compile or config.cuda_graph:
        return "its step is compiled or recorded"
    return "its right answers are counted" if follow else ""


def kind(config: TrainConfig, data: Data) -> str:
    """Return what trainings must have in common to share their steps, as one text."""
    settings = {name: value for name, value in config.to_dict().items() if name not in _OWN}
    model = dict(settings.pop("model"))
    # Without dropout a model may have fewer layers.
    model["dropout"] = bool(model.get("dropout"))
    settings["optim"] = config.optim.name
    shared = {**settings, "model": model, "images": data.train_fingerprint or data.fingerprint}
    return json.dumps(shared, sort_keys=True, default=str)
