"""``resnet18`` against torchvision's."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError


def build(**options):
    torch.manual_seed(8)
    return models.build(ModelConfig(name="resnet18", **options), 10)


def torchvisions(model):
    """Return torchvision's network with the weights of ``model``, for images of three channels."""
    reference = torchvision.models.resnet18(num_classes=10)
    weights = model.state_dict()  # in float64, so that a third times three is one
    if model.conv1.kernel_size == (3, 3):
        reference.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        reference.maxpool = nn.Sequential()
    # A gray image in three channels, each with a third of the weights, is the gray image.
    weights["conv1.weight"] = weights["conv1.weight"].repeat(1, 3, 1, 1) / 3
    reference.double().load_state_dict(weights)
    return reference.train(model.training)


@pytest.mark.parametrize(("options", "count"), [({}, 11_172_810), ({"stem": 7}, 11_175_370)])
def test_parameter_counts(options, count):
    assert models.count_parameters(build(**options)) == count


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stem", [3, 7])
def test_it_is_torchvisions(stem, training):
    model = build(stem=stem).double().train(training)
    reference = torchvisions(model)
    images = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    labels = torch.tensor([3, 1, 4, 1])
    gradients = []
    for network, inputs in ((model, images), (reference, images.expand(-1, 3, -1, -1))):
        logits = network(inputs)
        functional.cross_entropy(logits, labels).backward()
        gradients.append([p.grad for n, p in network.named_parameters() if n != "conv1.weight"])
        gradients[-1].append(logits.detach())
        gradients[-1] += [b.clone() for b in network.buffers()]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_stem_is_drawn_as_torchvision_draws():
    weights = build().conv1.weight
    deviation = (2 / (64 * 3 * 3)) ** 0.5  # He et al. 2015, by the fan out
    assert abs(weights.std().item() / deviation - 1) < 0.15  # 576 values: 3 % standard error


@pytest.mark.parametrize("stem", [0, 1, 5, -3])
def test_other_stems_are_refused(stem, refusal):
    message = refusal(ConfigError, models.resolve, ModelConfig(name="resnet18", stem=stem))
    assert message.startswith("model.stem: must be 3 (for small images) or 7")
    assert message.endswith(f"but got {stem}")


def test_options_it_has_not_are_refused(refusal):
    message = refusal(ConfigError, models.resolve, ModelConfig(name="resnet18", depth=3))
    assert message == "model.depth: 'resnet18' has no depth, but got 3; it has stem"
