"""``flex_cnn`` against a network written in the conventional order, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.models import drawing_cnn
from mnist_core.models._layers import ACTIVATIONS, MONOTONIC

FUNCTIONS = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


def configuration(**options):
    return ModelConfig(name="flex_cnn", **options)


def build(n_classes=10, **options):
    torch.manual_seed(5)
    return models.build(configuration(**options), n_classes)


def conventional(model, images, *, activation, pooled, average=False, global_pool=False):
    """Apply the layers of ``model`` in the order people write: norm, activation, pooling."""
    weighted = [m for m in model if any(True for _ in m.parameters())]
    x, layer = images, 0
    linear = [m for m in weighted if isinstance(m, nn.Linear)]
    rest = [m for m in weighted if not isinstance(m, nn.Linear)]
    while rest:
        x = rest.pop(0)(x)
        if rest and not isinstance(rest[0], nn.Conv2d):
            x = rest.pop(0)(x)
        layer += 1
        x = FUNCTIONS[activation](x)
        if layer in pooled:
            x = functional.avg_pool2d(x, 2) if average else functional.max_pool2d(x, 2)
    # The order of the linear layers' columns is that of channels-last.
    x = x.mean(dim=(2, 3)) if global_pool else x.permute(0, 2, 3, 1).flatten(1)
    for head in linear[:-1]:
        x = FUNCTIONS[activation](head(x))
    return linear[-1](x)


SETS = [
    ({}, {1, 2, 4}),
    ({"activation": "gelu"}, {1, 2, 4}),
    ({"activation": "silu", "norm": "group", "depth": 2}, {1, 2}),
    ({"activation": "elu", "norm": "none", "depth": 5, "pools": 2, "growth": 1.0}, {2, 5}),
    ({"activation": "sigmoid", "pooling": "average", "kernel": 5, "depth": 3}, {1, 2, 3}),
    ({"activation": "tanh", "depth": 3, "pools": 1, "global_pool": True}, {3}),
    ({"activation": "leaky_relu", "norm": "group", "pools": 4, "head_width": 0}, {1, 2, 3, 4}),
    ({"pooling": "average", "pools": 0, "depth": 1, "width": 8, "norm": "none"}, set()),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("options", "pooled"), SETS)
def test_the_order_of_layers_is_exact(few, options, pooled, training):
    options = {"width": 16, "dropout": 0.0} | options
    model = build(**options).train(training).double()
    # Real digits: their empty grounds give ties in pooling and units that are off.
    images = few.train.images[:8].double().div(255).sub(0.1307).div(0.3081).unsqueeze(1)

    def gradients(logits):
        model.zero_grad()
        functional.cross_entropy(logits, few.train.labels[:8]).backward()
        return [parameter.grad for parameter in model.parameters()]

    logits = model(images)
    expected = conventional(
        model,
        images,
        activation=options.get("activation", "relu"),
        pooled=pooled,
        average=options.get("pooling") == "average",
        global_pool=options.get("global_pool", False),
    )
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(gradients(logits), gradients(expected))


def test_activations_are_torchs_and_monotonic_as_said():
    values = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    assert set(ACTIVATIONS) == set(FUNCTIONS)
    for name, module in ACTIVATIONS.items():
        out = module()(values)
        assert torch.equal(out, FUNCTIONS[name](values))
        assert bool((out.diff() >= 0).all()) == (name in MONOTONIC)


def test_the_default_is_the_documented_network():
    model = build()
    assert models.count_parameters(model) == 290_282
    convolutions = [m for m in model if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 48, 80, 128]
    assert all(m.bias is None for m in convolutions)  # a norm follows


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"norm": "none"}, "Conv2d MaxPool2d ReLU Flatten Dropout Linear ReLU Dropout Linear"),
        (
            {"activation": "silu", "pooling": "average", "head_width": 0},
            "Conv2d BatchNorm2d SiLU AvgPool2d Flatten Dropout Linear",
        ),
        (
            {"norm": "group", "pools": 0, "global_pool": True, "dropout": 0.0},
            "Conv2d GroupNorm ReLU GlobalAverage Linear ReLU Linear",
        ),
    ],
)
def test_the_layers_are_those_asked_for(options, kinds):
    model = build(depth=1, kernel=5, **options)
    assert [type(layer).__name__ for layer in model] == kinds.split()
    assert model[0].kernel_size == (5, 5)
    assert (model[0].bias is None) == (options.get("norm") != "none")
    assert {m.num_groups for m in model if isinstance(m, nn.GroupNorm)} <= {8}
    rates = {m.p for m in model if isinstance(m, nn.Dropout)}
    assert rates == ({0.3} if "Dropout" in kinds else set())


def test_drawing_cnn_is_one_of_them():
    theirs = drawing_cnn.build(ModelConfig(name="drawing_cnn"), 10)
    ours = build(depth=2, width=32, growth=2.0, pools=2, norm="none", head_width=128)
    assert models.count_parameters(ours) == models.count_parameters(theirs) == 421_642
    weights = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(weights)
    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
    assert [m.p for m in theirs if isinstance(m, nn.Dropout)] == [0.25]


@pytest.mark.parametrize(
    ("width", "growth", "channels"),
    [
        (32, 2.0, [32, 64, 128]),
        (1, 1.0, [8, 8, 8]),
        (12, 1.5, [16, 16, 24]),
        (64, 0.5, [64, 32, 16]),
    ],
)
def test_channels_are_the_nearest_multiples_of_8(width, growth, channels):
    model = build(depth=3, width=width, growth=growth)
    assert [m.out_channels for m in model if isinstance(m, nn.Conv2d)] == channels


@pytest.mark.parametrize(("depth", "pools"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3)])
def test_pools_left_out_follow_from_the_depth(depth, pools):
    assert models.resolve(configuration(depth=depth)).pools == pools


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"depth": 6}, "model.depth: flex_cnn has 1 to 5 convolutions, but got 6"),
        ({"kernel": 4}, "model.kernel: flex_cnn has kernels of 3 or 5, but got 4"),
        ({"kernel": 7}, "model.kernel: flex_cnn has kernels of 3 or 5, but got 7"),
        ({"depth": 2, "pools": 3}, "3 poolings need as many layers, but model.depth is 2"),
        ({"depth": 5, "pools": 5}, "a side of 28 can be halved 4 times, but got 5"),
        ({"width": 512, "growth": 4.0}, "layer 3 would have 8,192 channels"),
        ({"depth": 1, "pools": 0, "width": 256, "head_width": 4096}, "822,083,584 weights"),
        ({"stem": 3}, "'flex_cnn' has no stem"),
        ({"embedding": 8}, "'flex_cnn' has no embedding"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(options, says, refusal):
    assert says in refusal(ConfigError, models.resolve, configuration(**options))
    assert says in refusal(ConfigError, models.build, configuration(**options), 10)


@settings(max_examples=60)
@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "activation": st.sampled_from(sorted(ACTIVATIONS)),
            "depth": st.integers(1, 8),
            "width": st.integers(1, 24),
            "growth": st.floats(0.5, 4),
            "kernel": st.integers(1, 9),
            "norm": st.sampled_from(["none", "batch", "group"]),
            "pooling": st.sampled_from(["max", "average"]),
            "pools": st.integers(0, 8),
            "global_pool": st.booleans(),
            "head_width": st.integers(0, 64),
            "dropout": st.floats(0, 0.99),
        },
    ),
    training=st.booleans(),
)
def test_a_combination_is_refused_or_works(options, training):
    try:
        resolved = models.resolve(configuration(**options))
    except ConfigError as error:
        assert str(error).startswith("model.")
        return
    assert all(getattr(resolved, key) == value for key, value in options.items())
    assert models.resolve(resolved) == resolved
    # One image is enough, also for the norms: no convolution sees less than 3 x 3 pixels.
    logits = build(3, **options).train(training)(torch.randn(1, 1, 28, 28))
    assert logits.shape == (1, 3)
    assert logits.isfinite().all()
