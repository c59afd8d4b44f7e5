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
            optimizer has not, a model that does not take the images.
    """
    from mnist_core import runtime, tasks, train  # import torch
    from mnist_core.data.datasets import load

    resolved = [train.resolve(config) for config in configs]
    data = load(configs[0].data, runtime.resolve(configs[0]).device)
    # Each model with each loss once: what optimizers take is known without training.
    different = {(config.model, config.loss.name): config for config in resolved}
    for config in different.values():
        tasks.take_one_batch(config, data)
    return data.fingerprint
