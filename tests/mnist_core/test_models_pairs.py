"""``siamese`` layer by layer, and ``pair_concat``."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.models._layers import ACTIVATIONS

NAMES = ("siamese", "pair_concat")


def build(name="siamese", **options):
    torch.manual_seed(6)
    return models.build(ModelConfig(name=name, **options), 10)


class Reference(nn.Module):
    """Its layers, built with torch's own."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(128)
        self.projection = nn.Linear(128, 128)
        self.head1 = nn.Linear(256, 256)
        self.head2 = nn.Linear(256, 64)
        self.head3 = nn.Linear(64, 1)

    def embed(self, images):
        """Return the embeddings and what each block of layers put out."""
        block1 = functional.max_pool2d(torch.relu(self.bn1(self.conv1(images))), 2)
        block2 = functional.max_pool2d(torch.relu(self.bn2(self.conv2(block1))), 2)
        block3 = torch.relu(self.bn3(self.conv3(block2)))
        features = functional.adaptive_avg_pool2d(block3, 1).flatten(1)
        return torch.relu(self.projection(features)), [block1, block2, features]

    def forward(self, pairs):
        n = len(pairs)
        embeddings, _ = self.embed(torch.cat([pairs[:, :1], pairs[:, 1:]]))
        a, b = embeddings[:n], embeddings[n:]
        x = torch.cat([torch.abs(a - b), a * b], dim=1)
        x = torch.relu(self.head1(x))  # dropout 0.4 in training
        x = torch.relu(self.head2(x))  # dropout 0.2
        return self.head3(x)[:, 0]


def reference_of(model):
    reference = Reference()
    weights = dict(zip(reference.state_dict(), model.state_dict().values(), strict=True))
    reference.load_state_dict(weights)
    return reference.train(model.training).to(next(model.parameters()).dtype)


@pytest.fixture
def pairs(few):
    images = few.train.images[:16].double().div(255).sub(0.1307).div(0.3081)
    return images.reshape(8, 2, 28, 28)


def without_dropout(model):
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


def test_parameter_counts():
    model = build()
    counts = [models.count_parameters(part) for part in model.children()]
    assert counts == [93_632, 16_512, 82_305]  # encoder, projection, head
    assert models.count_parameters(model) == 192_449
    assert models.count_parameters(build("pair_concat")) == 437_953
    rates = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.4, 0.2]


@pytest.mark.parametrize(
    ("name", "options", "rates"),
    [
        ("siamese", {"dropout": 0.5}, [0.5, 0.25]),
        ("siamese", {"dropout": 0.5, "head_width": 0}, [0.5]),
        ("pair_concat", {"dropout": 0.1}, [0.1]),
        ("pair_concat", {"head_width": 0}, []),
    ],
)
def test_dropout_is_in_the_head(name, options, rates):
    model = build(name, **options)
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == rates


def test_every_layer_is_that_of_the_spec(pairs):
    model = build().double().eval()
    # Statistics and scales other than 0 and 1, of both signs, as after a training.
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.bias.data, layer.running_mean):
                values.normal_()
            layer.running_var.uniform_(0.5, 2)
    reference = reference_of(model)
    images = pairs.reshape(16, 1, 28, 28)
    embeddings, blocks = reference.embed(images)
    x, outs = images, []
    for layer in model.encoder:
        x = layer(x)
        outs.append(x)
    # convolution, norm, pooling, activation; twice, then convolution, norm, activation, mean
    for out, block in zip((outs[3], outs[7], outs[11]), blocks, strict=True):
        torch.testing.assert_close(out, block)
    torch.testing.assert_close(model.embed(images), embeddings)
    torch.testing.assert_close(model(pairs), reference(pairs))


def test_training_is_that_of_the_spec(pairs):
    model = without_dropout(build().double().train())
    reference = reference_of(model)
    same = torch.tensor([0.0, 1.0] * 4, dtype=torch.float64)
    for network in (model, reference):
        loss = functional.binary_cross_entropy_with_logits(network(pairs), same)
        loss.backward()
    # Weights, gradients, and the statistics that batch norm took over both images.
    gradients = [[p.grad for p in network.parameters()] for network in (model, reference)]
    torch.testing.assert_close(gradients[0], gradients[1])
    buffers = [list(network.buffers()) for network in (model, reference)]
    torch.testing.assert_close(buffers[0], buffers[1])


def test_forward_is_embed_and_compare(pairs):
    model = build().double().eval()
    a, b = (model.embed(pairs[:, i : i + 1]) for i in (0, 1))
    assert a.shape == (8, 128)
    torch.testing.assert_close(model.compare(a, b), model(pairs))


def test_siamese_does_not_see_the_order_and_pair_concat_does(pairs):
    siamese = build().double().eval()
    torch.testing.assert_close(siamese(pairs.flip(1)), siamese(pairs))
    concat = build("pair_concat").double().eval()
    assert not torch.allclose(concat(pairs.flip(1)), concat(pairs))


def test_pair_concat_is_one_network_over_both_images(pairs):
    model = build("pair_concat").double().eval()
    wide = torch.cat([pairs[:, 0], pairs[:, 1]], dim=-1).unsqueeze(1)
    layers = [m for m in model if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
    x = wide
    for convolution, norm in zip(layers[0:6:2], layers[1:6:2], strict=True):
        x = functional.max_pool2d(torch.relu(norm(convolution(x))), 2)
    x = torch.relu(layers[6](x.permute(0, 2, 3, 1).flatten(1)))
    torch.testing.assert_close(model(pairs), layers[7](x).squeeze(1))


@pytest.mark.parametrize("name", NAMES)
def test_layout_does_not_matter(name, pairs):
    model = build(name).double().eval()
    logits = model(pairs)
    fast = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(pairs), logits)
    torch.testing.assert_close(fast(pairs.to(memory_format=torch.channels_last)), logits)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_models_of_pairs(name):
    assert models.task(ModelConfig(name=name)) == "pairs"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("siamese", {"depth": 5}, "model.depth: siamese has 1 to 4 convolutions"),
        ("siamese", {"head_width": 3}, "it must be 0 or at least 4, but got 3"),
        ("siamese", {"width": 1024}, "layer 3 would have 4,096 channels"),
        ("siamese", {"norm": "none"}, "'siamese' has no norm"),
        ("pair_concat", {"depth": 5}, "model.depth: pair_concat has 1 to 4 convolutions"),
        ("pair_concat", {"growth": 4.0, "width": 512}, "layer 3 would have 8,192"),
        ("pair_concat", {"depth": 1, "width": 1024, "head_width": 4096}, "1,644,167,168 weights"),
        ("pair_concat", {"embedding": 64}, "'pair_concat' has no embedding"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(name, options, says, refusal):
    assert says in refusal(ConfigError, models.build, ModelConfig(name=name, **options), 10)


@settings(max_examples=40)
@given(
    name=st.sampled_from(NAMES),
    options=st.fixed_dictionaries(
        {},
        optional={
            "activation": st.sampled_from(sorted(ACTIVATIONS)),
            "depth": st.integers(1, 8),
            "width": st.integers(1, 24),
            "growth": st.floats(0.5, 4),
            "head_width": st.integers(0, 64),
            "dropout": st.floats(0, 0.99),
        },
    ),
    training=st.booleans(),
)
def test_a_combination_is_refused_or_works(name, options, training):
    try:
        model = build(name, **options).train(training)
    except ConfigError as error:
        assert str(error).startswith("model.")
        return
    logits = model(torch.randn(2, 2, 28, 28))
    assert logits.shape == (2,)
    assert logits.isfinite().all()
