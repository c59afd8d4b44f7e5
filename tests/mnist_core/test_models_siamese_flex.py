"""``siamese_flex``: the encoder of ``flex_cnn``, and the cosine that torch has."""

import pytest
import torch
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError


def build(**options):
    torch.manual_seed(6)
    return models.build(ModelConfig(name="siamese_flex", **options), 10)


@pytest.fixture
def pairs():
    return torch.randn(8, 2, 28, 28, dtype=torch.float64)


def test_parameter_count():
    classifier = models.count_parameters(models.build(ModelConfig(name="flex_cnn"), 64))
    assert models.count_parameters(build()) == classifier + 2 == 297_250


def test_images_are_embedded_as_flex_cnn_classifies_them(pairs):
    model = build(width=8, depth=2, embedding=10).double().eval()
    classifier = models.build(ModelConfig(name="flex_cnn", width=8, depth=2), 10).double().eval()
    classifier.load_state_dict(model.encoder.state_dict())
    images = pairs[:, :1]
    torch.testing.assert_close(model.embed(images), classifier(images))


def test_a_logit_is_the_scaled_cosine_in_either_order(pairs):
    model = build().double().eval()
    model.scale.data.fill_(3.0)
    model.middle.data.fill_(0.25)
    a, b = model.embed(pairs[:, :1]), model.embed(pairs[:, 1:])
    cosine = (functional.normalize(a) * functional.normalize(b)).sum(1)
    torch.testing.assert_close(model(pairs), 3.0 * (cosine - 0.25))
    torch.testing.assert_close(model(pairs.flip(1)), model(pairs))


def test_what_cannot_be_built_is_refused_as_for_flex_cnn():
    with pytest.raises(ConfigError, match=r"1 to 5 convolutions, but got 6"):
        build(depth=6)
