"""Models against known counts of parameters and against networks written the conventional way."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.models import mlp512

PARAMETERS = {
    "net": 225_034,
    "net_sigmoid": 225_034,
    "net_deep": 159_882,
    "mlp512": 669_706,
    "lenet5": 61_706,
    "cnn": 1_199_882,
}


def build(name, n_classes=10):
    torch.manual_seed(7)
    return models.build(ModelConfig(name=name), n_classes).eval()


class Conventional(nn.Module):
    """The layers of a ``Sequential`` in the order people write: activation first, then pooling."""

    def __init__(self, model, convolutions, activation):
        super().__init__()
        layers = [layer for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))]
        self.convolutions = nn.ModuleList(copy.deepcopy(layers[:convolutions]))
        self.heads = nn.ModuleList(copy.deepcopy(layers[convolutions:]))
        self.activation = activation

    def forward(self, x):
        for convolution in self.convolutions:
            x = functional.max_pool2d(self.activation(convolution(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the order of the linear layers' columns
        for head in self.heads[:-1]:
            x = self.activation(head(x))
        return self.heads[-1](x)


class ConventionalCnn(nn.Module):
    """pytorch/examples/mnist, with its dropouts left out as in evaluation."""

    def __init__(self, model):
        super().__init__()
        layers = [layer for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))]
        self.conv1, self.conv2, self.fc1, self.fc2 = copy.deepcopy(layers)

    def forward(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = functional.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return self.fc2(functional.relu(self.fc1(x)))


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts(name, count):
    model = build(name)
    assert models.count_parameters(model) == count
    assert sum(p.numel() for p in model.parameters()) == count
    assert not list(model.buffers())


def test_only_trainable_parameters_count():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert models.count_parameters(model) == 6


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("n_classes", [2, 10])
def test_images_become_logits(name, n_classes):
    logits = build(name, n_classes)(torch.randn(3, 1, 28, 28))
    assert logits.shape == (3, n_classes)
    # Logits, not probabilities: they are of both signs and do not sum to 1.
    assert logits.min() < 0 or not torch.allclose(logits.sum(dim=1), torch.ones(3), atol=1e-3)


def test_every_model_is_named_by_its_file():
    assert set(PARAMETERS) <= set(models.names())
    assert models.names() == sorted(models.names())


@pytest.mark.parametrize("call", [models.resolve, lambda config: models.build(config, 10)])
def test_unknown_model(call, refusal):
    message = refusal(ConfigError, call, ModelConfig(name="nett"))
    assert message.startswith("model.name: unknown model 'nett'; did you mean 'net'?")
    assert all(name in message for name in PARAMETERS)


@pytest.mark.parametrize("name", ["__init__", "../models/net", "", "os"])
def test_a_name_that_is_no_model_file(name, refusal):
    assert "unknown model" in refusal(ConfigError, models.build, ModelConfig(name=name), 10)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (KeyError("width"), "mnist_core/models/mlp512.py: build raised KeyError: 'width'"),
        (RuntimeError("shapes\ndo not fit"), "build raised RuntimeError: shapes do not fit"),
    ],
)
def test_a_build_that_raises_is_one_line(monkeypatch, refusal, raised, said):
    def build(config, n_classes):
        raise raised

    monkeypatch.setattr(mlp512, "build", build)
    assert said in refusal(ConfigError, models.build, ModelConfig(name="mlp512"), 10)


def test_a_full_memory_is_not_the_models_mistake(monkeypatch):
    def build(config, n_classes):
        raise RuntimeError("not enough memory: you tried to allocate 8 GB")

    monkeypatch.setattr(mlp512, "build", build)
    with pytest.raises(RuntimeError):
        models.build(ModelConfig(name="mlp512"), 10)


def test_a_build_that_returns_no_model(monkeypatch, refusal):
    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: None)
    said = refusal(ConfigError, models.build, ModelConfig(name="mlp512"), 10)
    assert said.endswith("build must return a module, but got None")


def gradients(model, images, labels):
    model.zero_grad()
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize(
    ("name", "convolutions", "activation"),
    [("net", 2, torch.relu), ("net_deep", 3, torch.relu), ("net_sigmoid", 2, torch.sigmoid)],
)
def test_pooling_before_the_activation_is_exact(few, name, convolutions, activation):
    model = build(name)
    same = Conventional(model, convolutions, activation)
    # Real digits: their empty grounds give ties in pooling and units that are off.
    images = few.train.images[:32].float().div(255).sub(0.1307).div(0.3081).unsqueeze(1)
    labels = few.train.labels[:32]
    torch.testing.assert_close(model(images), same(images), rtol=0, atol=1e-6)
    for ours, theirs in zip(
        gradients(model, images, labels), gradients(same, images, labels), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_cnn_is_that_of_the_torch_examples(few):
    model = build("cnn")
    same = ConventionalCnn(model)
    images = few.train.images[:16].float().div(255).sub(0.1307).div(0.3081).unsqueeze(1)
    labels = few.train.labels[:16]
    torch.testing.assert_close(model(images), same(images), rtol=0, atol=1e-6)
    for ours, theirs in zip(
        gradients(model, images, labels), gradients(same, images, labels), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    rates = [layer.p for layer in model if isinstance(layer, nn.Dropout)]
    assert rates == [0.25, 0.5]


def test_weights_come_from_the_default_generator():
    first, again = build("net"), build("net")
    torch.manual_seed(8)
    other = models.build(ModelConfig(name="net"), 10)
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("leaky_relu", functional.leaky_relu),
        ("elu", functional.elu),
        ("gelu", functional.gelu),
        ("silu", functional.silu),
    ],
)
def test_net_with_every_activation(few, activation, function):
    torch.manual_seed(7)
    model = models.build(ModelConfig(name="net", activation=activation), 10).eval()
    assert models.count_parameters(model) == PARAMETERS["net"]
    same = Conventional(model, 2, function)
    images = few.train.images[:32].float().div(255).sub(0.1307).div(0.3081).unsqueeze(1)
    torch.testing.assert_close(model(images), same(images), rtol=0, atol=1e-6)
