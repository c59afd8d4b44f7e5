"""Batch norm by machine code against torch's: the same bits for all inputs and threads."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.kernels import batch_norm, choice, torch_parts
from mnist_core.kernels.batch_norm import Behind
from mnist_core.models._fused import FusedSequential
from mnist_core.train import train

pytest.importorskip("llvmlite")

DTYPES = (torch.bfloat16, torch.float32)


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


def random(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return channels_last((3 * torch.randn(shape, generator=generator) + 0.5).to(dtype))


def layer_of(channels: int, seed: int = 0, **options: object) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, **options)
    generator = torch.Generator().manual_seed(seed)
    for value in (*layer.parameters(), layer.running_mean, layer.running_var):
        value.data.copy_(torch.rand(channels, generator=generator) + 0.1)
    layer.bias.data.sub_(0.5)
    return layer


def by_torch(maps: Tensor, layer: nn.BatchNorm2d, behind: Behind) -> Tensor:
    return behind.by_torch(layer(maps))


def found_by(function, maps: Tensor, layer: nn.BatchNorm2d, behind: Behind, gradient: Tensor):
    """Return the output, the gradients, and what the layer keeps."""
    layer = copy.deepcopy(layer)
    leaf = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    output = function(leaf, layer, behind)
    output.backward(gradient)
    return [output.detach(), leaf.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype and a.stride() == b.stride()
        assert torch.equal(a.isnan(), b.isnan())
        a, b = a.nan_to_num(nan=7.0), b.nan_to_num(nan=7.0)
        assert torch.equal(a, b) and torch.equal(a.signbit(), b.signbit())


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 6),
    channels=st.sampled_from([8, 16, 24, 32, 40, 48, 64, 72, 80]),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    behind=st.builds(Behind, st.booleans(), st.booleans()),
    number=st.integers(1, 3),
    momentum=st.sampled_from([0.1, 0.3, 1.0]),
    epsilon=st.sampled_from([1e-5, 1e-3]),
)
def test_values_gradients_and_statistics_have_the_bits_of_torch(
    seed, n, channels, rows, columns, dtype, behind, number, momentum, epsilon
):
    maps = random(seed, (n, channels, rows, columns), dtype)
    layer = layer_of(channels, seed, momentum=momentum, eps=epsilon)
    with threads(number):
        if not batch_norm.takes(maps, layer, behind):
            small = min(rows, columns) < 2 or (behind.relu and max(rows, columns) < 4)
            assert small or n * rows * columns <= number
            return
        gradient = torch.randn(
            by_torch(maps, copy.deepcopy(layer), behind).shape,
            generator=torch.Generator().manual_seed(seed),
        )
        gradient = channels_last(gradient.to(dtype))
        theirs, ours = (
            found_by(function, maps, layer, behind, gradient)
            for function in (by_torch, batch_norm.norm)
        )
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [1, 2])
def test_so_have_large_maps_on_threads(dtype, number):
    maps = random(1, (40, 32, 14, 14), dtype)
    gradient = random(2, (40, 32, 7, 7), dtype)
    behind = Behind(True, True)
    with threads(number):
        theirs, ours = (
            found_by(function, maps, layer_of(32), behind, gradient)
            for function in (by_torch, batch_norm.norm)
        )
    assert_same(ours, theirs)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38, 1e-40, 0.0])
@pytest.mark.parametrize("behind", [Behind(True, True), Behind(False, True), Behind(False, False)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_so_have_unusual_numbers(value, behind, dtype):
    maps = random(3, (4, 16, 6, 6), dtype)
    maps[1, 3, 2, 2] = maps[2, 3, 3, 4] = value
    maps[:, 7] = value
    gradient = random(4, by_torch(maps, layer_of(16), behind).shape, dtype)
    gradient[0, :, 0] = -0.0
    theirs, ours = (
        found_by(function, maps, layer_of(16), behind, gradient)
        for function in (by_torch, batch_norm.norm)
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_evaluation_has_the_bits_of_torch(dtype, pool, relu):
    maps, layer, behind = random(5, (3, 40, 6, 7), dtype), layer_of(40).eval(), Behind(pool, relu)
    with torch.no_grad():
        assert batch_norm.takes(maps, layer, behind)
        assert_same([batch_norm.norm(maps, layer, behind)], [by_torch(maps, layer, behind)])
    with torch.inference_mode():
        assert_same([batch_norm.norm(maps, layer, behind)], [by_torch(maps, layer, behind)])


def test_statistics_without_gradients_are_the_same():
    maps, behind = random(6, (3, 40, 6, 7), torch.bfloat16), Behind(True, True)
    found = []
    for function in (batch_norm.norm, by_torch):
        layer = layer_of(40)
        with torch.no_grad():
            found.append([function(maps, layer, behind), *layer.buffers()])
    assert_same(*found)


def test_the_gradient_in_evaluation_is_left_to_torch():
    maps, layer = random(7, (3, 8, 6, 6), torch.float32), layer_of(8).eval()
    assert not batch_norm.takes(maps, layer, Behind(False, True))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("form", ["of a mean", "channels first", "every second"])
def test_a_gradient_may_lie_anyhow_in_memory(form, relu):
    maps = random(8, (3, 16, 6, 7), torch.float32)
    means = torch.randn(3, 1, 1, 16).expand(3, 6, 7, 16).permute(0, 3, 1, 2)
    gradient = {
        "of a mean": means,
        "channels first": torch.randn(3, 16, 6, 7),
        "every second": torch.randn(3, 16, 6, 14)[..., ::2],
    }[form]
    theirs, ours = (
        found_by(function, maps, layer_of(16), Behind(False, relu), gradient)
        for function in (by_torch, batch_norm.norm)
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("behind", [Behind(True, True), Behind(False, True), Behind(False, False)])
def test_the_gradient_can_be_differentiated(behind):
    maps = random(9, (2, 8, 5, 4), torch.float32)
    found = []
    for function in (batch_norm.norm, by_torch):
        layer = layer_of(8)
        leaf = maps.clone(memory_format=torch.preserve_format).requires_grad_()
        loss = (function(leaf, layer, behind) ** 3).sum()
        inputs = (leaf, layer.weight)
        gradients = torch.autograd.grad(loss, inputs, create_graph=True)
        second = torch.autograd.grad(sum((one**2).sum() for one in gradients), inputs)
        found.append([*(one.detach() for one in gradients), *second])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_parameters_get_no_gradient():
    maps = random(10, (2, 8, 6, 6), torch.float32).requires_grad_()
    layer = layer_of(8).requires_grad_(False)
    batch_norm.norm(maps, layer, Behind(True, True)).sum().backward()
    assert layer.weight.grad is None and maps.grad is not None


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(16, affine=False),
        nn.BatchNorm2d(16, track_running_stats=False),
        nn.BatchNorm2d(16, momentum=None),
        nn.BatchNorm2d(16, dtype=torch.bfloat16),
        nn.GroupNorm(2, 16),
    ],
    ids=repr,
)
def test_other_layers_are_left_to_torch(layer):
    maps = random(11, (3, 16, 6, 6), torch.float32)
    assert not batch_norm.takes(maps, layer, Behind(True, True))


@pytest.mark.parametrize(
    ("maps", "why"),
    [
        (torch.zeros(2, 8, 4, 4), "channels first"),
        (channels_last(torch.zeros(0, 8, 4, 4)), "no images"),
        (channels_last(torch.zeros(4, 8, 1, 1)), "one pixel"),
        (channels_last(torch.zeros(2, 8, 4, 4, dtype=torch.float64)), "fp64"),
        (torch.zeros(2, 8, 4, 4, device="meta"), "no memory"),
        (torch.zeros(8, 4, 4), "no batch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_maps_are_left_to_torch(maps, why):
    assert not batch_norm.takes(maps, nn.BatchNorm2d(8), Behind(False, True))


def test_layers_that_are_watched_are_called():
    seen = []
    model = FusedSequential(nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.ReLU())
    for layer in model:
        layer.register_forward_hook(lambda layer, given, output: seen.append(type(layer).__name__))
    model(random(12, (2, 8, 6, 6), torch.float32))
    assert seen == ["BatchNorm2d", "MaxPool2d", "ReLU"]


def kernels_used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    used: list[str] = []
    kernel = batch_norm._kernel
    monkeypatch.setattr(batch_norm, "_kernel", lambda *a: (used.append(a[0]), kernel(*a))[1])
    return used


@pytest.mark.parametrize(("name", "norms"), [("siamese", 3), ("flex_cnn", 4), ("siamese_flex", 4)])
def test_the_models_use_it_in_training_and_evaluation(monkeypatch, name, norms):
    config = models.resolve(ModelConfig(name=name))
    model = models.build(config, 10).to(memory_format=torch.channels_last)
    images = torch.randn(4, 28, 28) if name == "flex_cnn" else torch.randn(4, 2, 28, 28)
    images = images.unsqueeze(1) if name == "flex_cnn" else images
    model(images).sum().backward()
    used = kernels_used(monkeypatch)
    model(images).sum().backward()
    assert used.count("forward") == used.count("gradient") == norms
    with torch.no_grad():
        model.eval()(images)
    assert used.count("evaluation") == norms


@pytest.mark.parametrize("stem", [3, 7])
def test_resnet18_computes_what_torchvisions_does(monkeypatch, stem):
    config = models.resolve(ModelConfig(name="resnet18", stem=stem))
    model = models.build(config, 10).to(memory_format=torch.channels_last)
    images = torch.randn(4, 1, 28, 28)
    used = kernels_used(monkeypatch)
    found = []
    for setting in ("auto", "torch"):
        monkeypatch.setenv(choice.VARIABLE, setting)
        one = copy.deepcopy(model)
        logits = one(images)
        logits.square().sum().backward()
        found.append([logits, *(value.grad for value in one.parameters()), *one.buffers()])
    assert used.count("gradient") > 10
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_environment_leaves_all_to_torch(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "torch")
    maps = random(13, (2, 8, 6, 6), torch.float32)
    assert not batch_norm.takes(maps, nn.BatchNorm2d(8), Behind(False, True))
    assert choice.VARIABLE in batch_norm.why_not()


def test_kernels_that_differ_from_this_torch_are_not_used(monkeypatch):
    norm = functional.batch_norm  # as a later torch might
    monkeypatch.setattr(functional, "batch_norm", lambda *a, **k: norm(*a, **k) + 1e-3)
    batch_norm._fault.cache_clear()
    try:
        assert batch_norm.why_not()
    finally:
        batch_norm._fault.cache_clear()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flex_cnn", {"model__width": 16, "model__kernel": 5}),
        ("flex_cnn", {"model__activation": "tanh", "model__width": 16, "model__depth": 3}),
        ("flex_cnn", {"model__width": 16, "model__pooling": "average", "model__global_pool": True}),
        ("siamese", {"pairs__per_epoch": 160, "pairs__evaluation": 64, "model__width": 16}),
    ],
)
def test_a_training_ends_with_the_same_bits(
    monkeypatch, config, very_few, name, options, precision, number
):
    settings = config(
        model__name=name, precision=precision, batch_size=32, threads=number, **options
    )
    used = kernels_used(monkeypatch)
    ours = train(settings, data=very_few)
    assert {"forward", "gradient", "evaluation"} <= set(used)
    monkeypatch.setenv(choice.VARIABLE, "torch")
    used.clear()
    theirs = train(settings, data=very_few)
    assert not used
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics


def test_two_threads_are_torchs_own(monkeypatch):
    counts = []
    run = torch_parts.run
    monkeypatch.setattr(
        torch_parts, "run", lambda *a, parts: (counts.append(parts), run(*a, parts=parts))[1]
    )
    maps = random(14, (40, 32, 8, 8), torch.float32)
    with threads(2):
        batch_norm.norm(maps, layer_of(32), Behind(True, True))
    assert counts[-3:] == [2, 2, 40]


@pytest.mark.parametrize("channels", [8, 16, 24, 40, 48, 88])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("pool", [False, True])
def test_channels_that_fill_no_vector_need_no_torch(monkeypatch, channels, number, pool):
    used = kernels_used(monkeypatch)
    behind = Behind(pool, True)
    maps = random(15, (5, channels, 12, 14), torch.bfloat16)
    gradient = random(16, by_torch(maps, layer_of(channels), behind).shape, torch.bfloat16)
    with threads(number):
        theirs, ours = (
            found_by(function, maps, layer_of(channels), behind, gradient)
            for function in (by_torch, batch_norm.norm)
        )
    assert_same(ours, theirs)
    assert used[-1] == "gradient"


def test_where_torch_rounds_the_last_channels_otherwise_it_computes_them(monkeypatch):
    monkeypatch.setattr(batch_norm, "_agrees_on_rest", lambda *a: False)
    used = kernels_used(monkeypatch)
    maps, behind = random(17, (5, 40, 6, 6), torch.bfloat16), Behind(False, True)
    theirs, ours = (
        found_by(function, maps, layer_of(40), behind, maps)
        for function in (by_torch, batch_norm.norm)
    )
    assert_same(ours, theirs)
    assert "gradient" not in used
