"""The ReLU between two convolutions by machine code, in place, against torch's: the same bits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import BITS, assert_same_bits, kernels_used, numbers
from torch import Tensor, nn
from torch.nn import functional

from mnist_core.kernels import choice, relu
from mnist_core.models._fused import FusedSequential
from mnist_core.train import train

pytest.importorskip("llvmlite")


def maps_of(
    seed: int, shape: tuple[int, int, int, int], dtype: torch.dtype, nan: float = 0.0
) -> Tensor:
    n, channels, rows, columns = shape
    values = numbers(seed, n * channels * rows * columns, dtype, nan)
    return values.view(n, rows, columns, channels).permute(0, 3, 1, 2)


def both_ways(maps: Tensor, gradient: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the results and the gradients of torch's function and of ours."""
    found = []
    for function in (functional.relu, relu.relu):
        leaf = maps.clone().requires_grad_()
        result = function(leaf.clone())
        value = result.detach().clone()
        result.backward(gradient.clone())
        assert leaf.grad is not None
        found.append((value, leaf.grad))
    return found


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    channels=st.sampled_from([8, 24, 40, 72]),
    rows=st.integers(2, 9),
    columns=st.integers(2, 9),
    dtype=st.sampled_from([*BITS]),
    nan=st.sampled_from([0.0, 0.2]),
)
def test_values_and_gradients_have_the_bits_of_torch(seed, n, channels, rows, columns, dtype, nan):
    shape = (n, channels, rows, columns)
    maps, gradient = (maps_of(seed + i, shape, dtype, nan) for i in range(2))
    assert relu.takes(maps)
    theirs, ours = both_ways(maps, gradient)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


def test_threads_of_torch_share_the_numbers():
    maps, gradient = (maps_of(i, (16, 32, 12, 12), torch.bfloat16) for i in range(2))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        theirs, ours = both_ways(maps, gradient)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize(
    ("maps", "why"),
    [
        (torch.zeros(2, 8, 4, 4), "channels first"),
        (maps_of(1, (2, 12, 4, 4), torch.float32), "channels"),
        (maps_of(1, (2, 8, 1, 4), torch.float32), "a side of 1"),
        (maps_of(1, (2, 8, 4, 8), torch.float32)[..., ::2], "not next to each other"),
        (torch.zeros(2, 8, 4, 4, device="meta"), "no memory"),
        (torch.zeros(8, 8), "no maps"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_maps_are_left_to_torch(maps, why):
    assert not relu.takes(maps)


def convolutions(between: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(1, 16, 3), between, nn.Conv2d(16, 8, 3, padding=1)]


def images() -> Tensor:
    return torch.randn(3, 1, 9, 10).to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("between", "expected"), [(nn.ReLU(), 2), (nn.ReLU(inplace=True), 2), (nn.Tanh(), 0)]
)
def test_two_convolutions_compute_what_torchs_do(monkeypatch, between, expected):
    layers, batch, found = convolutions(between), images(), []
    used = kernels_used(monkeypatch)
    for made in (nn.Sequential, FusedSequential):
        model = made(*layers).to(memory_format=torch.channels_last)
        model.zero_grad()
        result = model(batch)
        result.square().sum().backward()
        with torch.no_grad():
            again = model(batch)
        assert torch.equal(again, result)
        found.append([result.detach(), *(one.grad for one in model.parameters())])
    assert len(used) == expected + bool(expected)  # forward, backward, forward
    for ours, theirs in zip(*found, strict=True):
        assert_same_bits(ours, theirs)


def test_the_gradient_can_be_differentiated():
    layers, found = convolutions(nn.ReLU()), []
    batch = images().double()
    for made in (nn.Sequential, FusedSequential):
        model = made(*layers).to(torch.float64, memory_format=torch.channels_last)
        leaf = batch.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((model(leaf) ** 3).sum(), leaf, create_graph=True)
        found.append((gradient.detach(), *torch.autograd.grad((gradient**2).sum(), leaf)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_graph_can_be_run_backward_twice():
    model = FusedSequential(*convolutions(nn.ReLU())).to(memory_format=torch.channels_last)
    loss = model(images()).square().sum()
    found = []
    for keep in (True, False):
        model.zero_grad()
        loss.backward(retain_graph=keep)
        found.append([one.grad for one in model.parameters()])
    for first, second in zip(*found, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("watched", [0, 1, 2])
def test_layers_that_are_watched_keep_their_results(monkeypatch, watched):
    layers, seen = convolutions(nn.ReLU()), []
    layers[watched].register_forward_hook(lambda layer, given, result: seen.append(result))
    used = kernels_used(monkeypatch)
    model = FusedSequential(*layers).to(memory_format=torch.channels_last)
    model(images()).sum().backward()
    assert len(seen) == 1 and not used


def test_a_relu_before_another_layer_is_torchs(monkeypatch):
    used = kernels_used(monkeypatch)
    model = FusedSequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten())
    model.to(memory_format=torch.channels_last)(images()).sum().backward()
    assert not used


def test_the_environment_leaves_all_to_torch(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "torch")
    assert not relu.takes(maps_of(1, (2, 8, 4, 4), torch.float32))


def test_kernels_that_differ_from_this_torch_are_not_used(monkeypatch):
    relu._fault.cache_clear()
    theirs = functional.relu
    monkeypatch.setattr(functional, "relu", lambda maps: theirs(maps) + 1)
    try:
        assert relu.why_not()
    finally:
        relu._fault.cache_clear()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("cnn", {}), ("flex_cnn", {"model__norm": "none", "model__depth": 4, "model__pools": 1})],
)
def test_a_training_ends_with_the_same_bits(
    monkeypatch, config, very_few, name, options, precision
):
    settings = config(model__name=name, precision=precision, batch_size=32, **options)
    ours = train(settings, data=very_few)
    monkeypatch.setattr(relu, "takes", lambda maps: False)
    theirs = train(settings, data=very_few)
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics
