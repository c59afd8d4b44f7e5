"""A sum and its ReLU by machine code, in place, against torch's: the same bits."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import assert_same_bits, kernels_used, numbers
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.kernels import add_relu, choice

pytest.importorskip("llvmlite")

DTYPES = [torch.bfloat16, torch.float32]


def maps_of(
    seed: int, shape: tuple[int, int, int, int], dtype: torch.dtype, nan: float = 0.0
) -> Tensor:
    n, channels, rows, columns = shape
    values = numbers(seed, n * channels * rows * columns, dtype, nan)
    return values.view(n, rows, columns, channels).permute(0, 3, 1, 2)


def by_torch(maps: Tensor, added: Tensor) -> Tensor:
    maps += added
    return functional.relu(maps, inplace=True)


def found_by(function, maps: Tensor, added: Tensor, gradient: Tensor) -> list[Tensor]:
    """Return the result and both gradients."""
    leaves = [one.clone().requires_grad_() for one in (maps, added)]
    result = function(leaves[0].clone(), leaves[1])
    value = result.detach().clone()
    result.backward(gradient)
    return [value, *(leaf.grad for leaf in leaves)]


def assert_found_the_same(maps: Tensor, added: Tensor, gradient: Tensor) -> None:
    theirs, ours = (found_by(f, maps, added, gradient) for f in (by_torch, add_relu.add_relu))
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    channels=st.sampled_from([8, 24, 40, 72]),
    rows=st.integers(2, 9),
    columns=st.integers(2, 9),
    dtype=st.sampled_from(DTYPES),
    nan=st.sampled_from([0.0, 0.2]),
)
def test_values_and_gradients_have_the_bits_of_torch(seed, n, channels, rows, columns, dtype, nan):
    shape = (n, channels, rows, columns)
    maps, added, gradient = (maps_of(seed + i, shape, dtype, nan) for i in range(3))
    assert add_relu.takes(maps, added)
    assert_found_the_same(maps, added, gradient)


def test_threads_of_torch_share_the_numbers():
    maps, added, gradient = (maps_of(i, (16, 32, 12, 12), torch.bfloat16) for i in range(3))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert_found_the_same(maps, added, gradient)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["of a mean", "channels first", "every second"])
def test_a_gradient_may_lie_anyhow_in_memory(form, dtype):
    maps, added = (maps_of(i, (3, 16, 6, 7), dtype) for i in range(2))
    means = torch.randn(3, 16, 1, 1, dtype=dtype)
    gradient = {
        "of a mean": means.expand(3, 16, 6, 7) / 42,
        "channels first": torch.randn(3, 16, 6, 7, dtype=dtype),
        "every second": torch.randn(3, 16, 6, 14, dtype=dtype)[..., ::2],
    }[form]
    assert_found_the_same(maps, added, gradient)


@pytest.mark.parametrize(
    ("maps", "added", "why"),
    [
        (maps_of(1, (2, 8, 4, 4), torch.float32), torch.zeros(2, 8, 4, 4), "channels first"),
        (torch.zeros(2, 8, 4, 4), maps_of(1, (2, 8, 4, 4), torch.float32), "channels first, too"),
        (*(maps_of(i, (2, 12, 4, 4), torch.float32) for i in range(2)), "channels"),
        (*(maps_of(i, (2, 8, 4, 4), torch.float64) for i in range(2)), "fp64"),
        (*(maps_of(i, (2, 8, 4, 4), DTYPES[i]) for i in range(2)), "two types"),
        (*(maps_of(i, (2, 8, 4, 4 + i), torch.float32) for i in range(2)), "two shapes"),
        (*[maps_of(1, (2, 8, 4, 4), torch.float32)] * 2, "the same memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_maps_are_left_to_torch(maps, added, why):
    assert not add_relu.takes(maps, added)


def test_the_gradient_can_be_differentiated():
    found = []
    for function in (add_relu.add_relu, by_torch):
        maps, added = (
            maps_of(i, (2, 8, 3, 4), torch.float32).clamp(-3, 3).requires_grad_() for i in range(2)
        )
        loss = (function(maps * 2, added) ** 3).sum()
        gradients = torch.autograd.grad(loss, (maps, added), create_graph=True)
        found.append([*gradients, *torch.autograd.grad(gradients[0].square().sum(), (maps, added))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [1, 2])
def test_resnet18_computes_what_torchvisions_does(monkeypatch, dtype, number):
    config = models.resolve(ModelConfig(name="resnet18", stem=3))
    model = models.build(config, 10).to(memory_format=torch.channels_last)
    images = torch.randn(4, 1, 28, 28)
    used = kernels_used(monkeypatch)
    found = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number)
        for setting in ("auto", "torch"):
            monkeypatch.setenv(choice.VARIABLE, setting)
            one = copy.deepcopy(model)
            with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
                logits = one(images)
            logits.float().square().sum().backward()
            found.append([logits, *(value.grad for value in one.parameters()), *one.buffers()])
    finally:
        torch.set_num_threads(before)
    names = ("forward_of_sum", "backward")
    assert all(used.count(add_relu._kernel(name, dtype)) >= 6 for name in names)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_relu_that_is_watched_is_called():
    model = models.build(models.resolve(ModelConfig(name="resnet18", stem=3)), 10)
    model = model.to(memory_format=torch.channels_last)
    seen = []
    (relu,) = {one for name, one in model.named_modules() if name.endswith("layer1.0.relu")}
    assert isinstance(relu, nn.ReLU)
    relu.register_forward_hook(lambda layer, given, output: seen.append(layer))
    model(torch.randn(2, 1, 28, 28))
    assert len(seen) == 2


def test_kernels_that_differ_from_this_torch_are_not_used(monkeypatch):
    relu = functional.relu  # as a later torch might
    monkeypatch.setattr(functional, "relu", lambda *a, **k: relu(*a, **k) + 1e-3)
    add_relu._fault.cache_clear()
    try:
        assert add_relu.why_not()
    finally:
        add_relu._fault.cache_clear()
