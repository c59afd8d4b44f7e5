"""``mlp512``: a perceptron with two hidden layers of 512; 669,706 parameters for 10 classes."""

from torch import nn

from mnist_core.config import ModelConfig


def build(config: ModelConfig, n_classes: int) -> nn.Module:
    """Build ``mlp512``."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, n_classes),
    )
