"""What is looked at before the first trial, in the workers: they keep the data they load here.

So the supervisor need not import torch, which takes longer than all the rest of a study's start.
"""

from collections.abc import Sequence

from mnist_core.config import TrainConfig


def prepare(configs: Sequence[TrainConfig]) -> str:
    """Check what would fail every trial; return the fingerprint of the data.

    Args:
        configs: one of each kind that will be trained, one or more; all with the same data.

    Raises:
        UserError: an unknown model, a device or data that is not there, a setting that an
            optimizer has not.
    """
    from mnist_core import runtime, train  # import torch
    from mnist_core.data.datasets import load

    for config in configs:
        train.resolve(config)
    return load(configs[0].data, runtime.resolve(configs[0]).device).fingerprint
