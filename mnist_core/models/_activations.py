"""The activations a model can have, and on which side of a pooling each may stand."""

from torch import nn

from mnist_core.config import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
"""Torch's modules, all with torch's defaults (leaky_relu: slope 0.01; gelu: exact, by erf)."""

MONOTONIC: frozenset[Activation] = frozenset({"relu", "sigmoid", "tanh", "leaky_relu", "elu"})
"""Those f with max(f(x)) = f(max(x)). gelu and silu fall to a minimum left of 0 and rise again."""


def with_pooling(activation: Activation, pooling: nn.Module) -> list[nn.Module]:
    """Return an activation and the pooling behind it, in the order that costs least.

    A max pooling comes first where that is exact, with a monotonic activation, and leaves a
    quarter of the values to apply it to. An average pooling never does.
    """
    layers = [ACTIVATIONS[activation](), pooling]
    if isinstance(pooling, nn.MaxPool2d) and activation in MONOTONIC:
        layers.reverse()
    return layers
