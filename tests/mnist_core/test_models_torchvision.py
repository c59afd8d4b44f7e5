"""torchvision's classifiers by name: grey images, small images, no download."""

import pytest
import torch
from torchvision import models as torchvision_models

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.images import Images

SMALL = "torchvision:shufflenet_v2_x0_5"


def config(name, **options):
    return ModelConfig.from_mapping({"name": name, **options}, source="test")


def build(name, **options):
    torch.manual_seed(0)
    return models.build(config(name, **options), 10)


def test_a_grey_image_is_three_equal_channels():
    model = build(SMALL).eval()
    torch.manual_seed(0)
    theirs = torchvision_models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=10).eval()
    images = torch.randn(3, 1, 28, 28)
    assert torch.allclose(model(images), theirs(images.expand(-1, 3, -1, -1)), atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "googlenet"])
def test_small_images_can_be_trained_on(name):
    model = build(f"torchvision:{name}")
    assert model.training
    model(torch.randn(4, 1, 28, 28)).sum().backward()


def test_images_are_resized_if_the_network_needs_it(refusal):
    said = refusal(ConfigError, build, "torchvision:alexnet")
    assert said.startswith("model.size: ") and "28x28" in said
    model = build("torchvision:alexnet", size=64)
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("torchvision:mobilenet_v3_smal", "'mobilenet_v3_small'"),
        ("torchvison:resnet34", "'torchvision:resnet34'"),
    ],
)
def test_a_misspelt_name_gives_the_nearest(name, near, refusal):
    message = refusal(ConfigError, models.resolve, ModelConfig(name=name))
    assert message.startswith("model.name: ") and f"did you mean {near}" in message


def test_only_its_own_option(refusal):
    assert "model.size" in refusal(ConfigError, models.resolve, config(SMALL, depth=3))


def test_colour_images_keep_three_channels():
    images = Images(rows=40, columns=32, channels=3)
    model = models.build(config(SMALL), 5, images)
    assert model(torch.randn(2, 3, 40, 32)).shape == (2, 5)


def test_its_weights_come_from_the_seed():
    first, second = build(SMALL).state_dict(), build(SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
