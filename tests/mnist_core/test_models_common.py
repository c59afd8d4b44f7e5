"""What every model must be: trainable in bf16, in any layout, from torch's own generator."""

import pytest
import torch
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.models._layers import GlobalAverage


def inputs(name, n=4):
    channels = 2 if models.task(ModelConfig(name=name)) == "pairs" else 1
    return torch.randn(n, channels, 28, 28)


def build(name, seed=9):
    torch.manual_seed(seed)
    return models.build(ModelConfig(name=name), 10)


@pytest.mark.parametrize("name", models.names())
def test_a_step_in_bf16_and_channels_last(name):
    model = build(name).to(memory_format=torch.channels_last).train()
    before = [p.detach().clone() for p in model.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        out = model(inputs(name))
    out.float().square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert out.isfinite().all()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.dtype == torch.float32
        assert parameter.isfinite().all()
        assert parameter.grad is not None
        assert parameter.shape == old.shape


@pytest.mark.parametrize("name", models.names())
def test_layout_does_not_change_the_result(name):
    model, images = build(name).eval().double(), inputs(name).double()
    expected = model(images)
    fast = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(images.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize("name", models.names())
def test_weights_come_from_torchs_default_generator(name):
    first, again, other = build(name), build(name), build(name, seed=10)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    drawn = [a for a in zip(first.parameters(), other.parameters(), strict=True) if a[0].dim() > 1]
    assert drawn and not any(torch.equal(a, b) for a, b in drawn)


@pytest.mark.parametrize("name", models.names())
def test_the_resolved_configuration_is_the_same_model(name):
    resolved = models.resolve(ModelConfig(name=name))
    assert models.resolve(resolved) == resolved
    reread = ModelConfig.from_mapping(resolved.to_dict(), source="a file")
    assert reread == resolved
    torch.manual_seed(9)
    weights = models.build(resolved, 10).state_dict()
    assert all(torch.equal(weights[key], value) for key, value in build(name).state_dict().items())


def test_global_average_is_torchs():
    maps = torch.randn(3, 5, 7, 4, dtype=torch.float64).to(memory_format=torch.channels_last)
    ours, theirs = (maps.detach().requires_grad_() for _ in range(2))
    weights = torch.randn(3, 5, dtype=torch.float64)
    out = GlobalAverage()(ours)
    expected = functional.adaptive_avg_pool2d(theirs, 1).flatten(1)
    torch.testing.assert_close(out, expected)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert ours.grad.is_contiguous(memory_format=torch.channels_last)
