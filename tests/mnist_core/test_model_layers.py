"""The layers that cost less against torch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mnist_core.models._layers import Crop, Dropout, Flatten


def test_crop_takes_the_upper_left():
    images = torch.arange(2 * 1 * 5 * 5).reshape(2, 1, 5, 5)
    assert torch.equal(Crop(3)(images), images[:, :, :3, :3])


def test_flatten_is_that_of_torch_but_for_the_order():
    maps = torch.randn(3, 4, 2, 5).to(memory_format=torch.channels_last)
    flat = Flatten()(maps)
    assert flat.data_ptr() == maps.data_ptr()  # no copy
    order = torch.arange(4 * 2 * 5).reshape(1, 4, 2, 5).permute(0, 2, 3, 1).flatten()
    assert torch.equal(flat, nn.Flatten()(maps)[:, order])


@given(
    p=st.floats(0, 1),
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_dropout_drops_or_scales(p, shape, dtype):
    values = torch.rand(shape, dtype=dtype) + 1
    out = Dropout(p).train()(values)
    assert out.dtype == dtype
    assert out.shape == values.shape
    kept = out != 0
    if p < 1 - 1 / 65_536:
        torch.testing.assert_close(out[kept], (values[kept] * (1 / (1 - p))).to(dtype))
    assert torch.equal(Dropout(p).eval()(values), values)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.4, 0.5, 0.9])
def test_dropout_drops_the_share_it_says(p):
    torch.manual_seed(1)
    n = 400_000
    dropped = (Dropout(p)(torch.ones(n)) == 0).sum().item()
    assert abs(dropped - n * p) < 5 * (n * p * (1 - p)) ** 0.5  # five standard deviations


def test_dropout_of_neighbours_is_independent():
    torch.manual_seed(2)
    dropped = (Dropout(0.5)(torch.ones(4, 100_000).T.contiguous()) == 0).float()
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert correlation.abs().max() < 0.02


def test_the_gradient_is_dropped_with_the_value():
    values = torch.ones(1000, requires_grad=True)
    out = Dropout(0.25)(values)
    out.sum().backward()
    assert torch.equal(values.grad, out.detach())


def test_dropout_does_not_lose_precision_in_bf16():
    torch.manual_seed(3)
    values = torch.rand(200_000).add_(1).to(torch.bfloat16)
    out = Dropout(0.25)(values)
    kept = out != 0
    ratio = out[kept].double().sum() / values[kept].double().sum()
    assert abs(ratio.item() - 4 / 3) < 1e-3  # torch's own is 0.2 % off


def test_dropout_follows_the_seed():
    def draw():
        torch.manual_seed(4)
        return Dropout(0.3)(torch.ones(100))

    assert torch.equal(draw(), draw())
