"""``strided_cnn`` against a network of torch's own layers, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError


def configuration(**options):
    return ModelConfig(name="strided_cnn", **options)


def build(n_classes=10, **options):
    torch.manual_seed(5)
    return models.build(configuration(**options), n_classes)


def test_the_default_is_the_documented_network(few):
    model = build().double().train()
    convolutions = [m for m in model if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [16, 32, 64]
    assert [(m.kernel_size, m.stride) for m in convolutions] == [
        ((5, 5), (2, 2)),
        ((3, 3), (1, 1)),
        ((3, 3), (1, 1)),
    ]
    images = few.train.images[:8].double().div(255).sub(0.1307).div(0.3081).unsqueeze(1)
    norms = [m for m in model if isinstance(m, nn.BatchNorm2d)]
    x = images
    for layer, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        x = torch.relu(norm(convolution(x)))
        x = functional.max_pool2d(x, 2) if layer else x
    expected = model[-1](x.permute(0, 2, 3, 1).flatten(1))
    torch.testing.assert_close(model(images), expected)


@settings(max_examples=40)
@given(
    depth=st.integers(1, 5),
    pools=st.integers(0, 4),
    width=st.sampled_from([8, 16]),
    kernel=st.sampled_from([3, 5, 7]),
    norm=st.sampled_from(["none", "batch", "group"]),
    head_width=st.sampled_from([0, 16]),
)
def test_what_is_not_refused_gives_logits(depth, pools, width, kernel, norm, head_width):
    options = {"depth": depth, "pools": pools, "width": width, "kernel": kernel, "norm": norm}
    try:
        model = build(head_width=head_width, growth=1.5, **options)
    except ConfigError as error:
        assert pools > min(depth - 1, 3) and "model.pools" in str(error)
        return
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(("depth", "pools"), [(1, 0), (2, 1), (3, 2), (5, 2)])
def test_pools_left_out_follow_from_the_depth(depth, pools):
    assert models.resolve(configuration(depth=depth)).pools == pools


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"kernel": 4}, "model.kernel"),
        ({"kernel": 9}, "model.kernel"),
        ({"depth": 2, "pools": 2}, "model.pools"),
        ({"width": 512, "growth": 4.0}, "model.growth"),
        ({"global_pool": True}, "global_pool"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(options, name, refusal):
    assert name in refusal(ConfigError, models.resolve, configuration(**options))
