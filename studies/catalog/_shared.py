"""Settings that several studies fix."""

from typing import Any

MILD_AUGMENTATION: dict[str, Any] = {
    # Without it the network memorizes 5,000 images in 6 epochs, and all trials end within half a
    # percentage point, below 98 % (docs/log.md).
    "label_smoothing": 0.1,
    "augment.shift": 0.07,
    "augment.rotate": 8.0,
    "augment.scale": 0.1,
    "augment.shear": 8.0,
}

SCREENED: dict[str, Any] = {
    # Few trials tune a choice's four or five parameters better if the choices share what they have
    # in common, and share the free trials evenly: measured on the space of optim_search, where the
    # mean regret is a quarter to a third less than TPE's (benchmarks/RESULTS.md).
    "search.sampler": "screen",
}
"""How studies that compare choices search."""

SMALL_NETWORK: dict[str, Any] = {
    "model.name": "flex_cnn",
    "model.norm": "batch",
    "optim.name": "adamw",
    "schedule.name": "one_cycle",
    "batch_size": 128,
    "epochs": 6,
}
"""A CNN of any size, trained for a few epochs."""
"""A mild affine change of every training image, and label smoothing; the same for all trials."""
