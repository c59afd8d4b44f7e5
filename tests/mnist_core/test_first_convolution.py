"""The weights' gradient of a first convolution by machine code against torch's: the same bits."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnist_core.kernels import choice, first_convolution
from mnist_core.models._fused import FusedSequential
from mnist_core.train import train

pytest.importorskip("llvmlite")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def random(seed: int, shape: tuple[int, ...]) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


def layer_of(channels: int, side: int, padding: int, **options: object) -> nn.Conv2d:
    layer = nn.Conv2d(1, channels, side, padding=padding, **options)
    return layer.to(memory_format=torch.channels_last)


def taken(images: Tensor, layer: nn.Module) -> bool:
    with autocast():
        return first_convolution.takes(images, layer)


def needs_tiles(images: Tensor, layer: nn.Conv2d) -> None:
    """Skip where oneDNN has no tiles (AMX), and so adds up in another order."""
    padding = layer.padding[0]
    side = layer.kernel_size[0]
    if why := first_convolution.why_not(images.shape, layer.out_channels, side, padding):
        pytest.skip(why)


def found_by(function, images: Tensor, layer: nn.Conv2d, gradient: Tensor) -> list[Tensor]:
    layer.zero_grad()
    with autocast():
        output = function(images, layer)
    output.backward(gradient)
    assert layer.weight.grad is not None and layer.bias is not None
    return [output.detach(), layer.weight.grad, layer.bias.grad]


def by_torch(images: Tensor, layer: nn.Conv2d) -> Tensor:
    return layer(images)


def assert_same(images: Tensor, layer: nn.Conv2d, gradient: Tensor) -> None:
    theirs, ours = (
        found_by(f, images, layer, gradient) for f in (by_torch, first_convolution.convolve)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype is b.dtype and a.stride() == b.stride()
        assert torch.equal(a, b)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(12, 24),
    rows=st.integers(24, 30),
    columns=st.integers(24, 30),
    channels=st.sampled_from([16, 32, 48, 64]),
    form=st.sampled_from([(3, 0), (3, 1), (5, 0), (5, 2)]),
    scale=st.sampled_from([1.0, 1e-30, 1e-38]),
)
def test_gradients_have_the_bits_of_torch(seed, n, rows, columns, channels, form, scale):
    images, layer = random(seed, (n, 1, rows, columns)), layer_of(channels, *form)
    needs_tiles(images, layer)
    assert taken(images, layer)
    less = 2 * form[1] - form[0] + 1
    gradient = random(seed + 1, (n, channels, rows + less, columns + less)) * scale
    # What is added is taken away again, so that errors of rounding are left.
    images, gradient = torch.cat([images, images]), torch.cat([gradient, -gradient])
    assert_same(*(images, layer, gradient))


@pytest.mark.parametrize("form", ["of a mean", "channels first"])
def test_a_gradient_may_lie_anyhow_in_memory(form):
    images, layer = random(1, (12, 1, 26, 26)), layer_of(32, 3, 0)
    needs_tiles(images, layer)
    gradient = random(2, (12, 32, 24, 24)).contiguous()
    assert_same(
        images, layer, gradient[:, :, :1, :1].expand(-1, -1, 24, 24) if "mean" in form else gradient
    )


@pytest.mark.parametrize("form", [(3, 0), (5, 2)])
def test_so_they_have_on_two_threads(form):
    torch.set_num_threads(2)
    images, layer = random(9, (32, 1, 28, 28)), layer_of(32, *form)
    needs_tiles(images, layer)
    assert taken(images, layer) and not taken(images[:31], layer)
    side = 28 + 2 * form[1] - form[0] + 1
    assert_same(images, layer, random(10, (32, 32, side, side)))


def test_so_have_images_of_which_the_edge_is_cut_off():
    whole, layer = random(7, (12, 1, 28, 28)), layer_of(32, 3, 0)
    images = whole[..., :26, :26]
    needs_tiles(images, layer)
    assert taken(images, layer)
    assert_same(images, layer, random(8, (12, 32, 24, 24)))


def test_the_gradient_can_be_differentiated():
    images, layer = random(3, (12, 1, 26, 26)), layer_of(16, 3, 0)
    needs_tiles(images, layer)
    found = []
    for function in (by_torch, first_convolution.convolve):
        with autocast():
            loss = (function(images, layer).float() ** 3).mean()
        parameters = (layer.weight, layer.bias)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        second = torch.autograd.grad(sum((one**2).sum() for one in gradients), parameters)
        found.append([*gradients, *second])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=1e-3)


IMAGES = random(4, (16, 1, 26, 26))


@pytest.mark.parametrize(
    ("images", "layer", "why"),
    [
        (IMAGES.float(), layer_of(32, 3, 0), "fp32"),
        (IMAGES[:2], layer_of(32, 3, 0), "few pixels"),
        (random(5, (16, 1, 40, 40)), layer_of(32, 3, 0), "more than a tile"),
        (random(6, (16, 2, 26, 26)), nn.Conv2d(2, 32, 3), "two channels"),
        (IMAGES, layer_of(24, 3, 0), "channels that fill no vector"),
        (IMAGES, layer_of(32, 7, 0), "a larger kernel"),
        (IMAGES, layer_of(32, 3, 0, stride=2), "a stride"),
        (IMAGES, layer_of(32, 3, 0, bias=False), "no bias"),
        (IMAGES, layer_of(32, 3, 0).requires_grad_(False), "frozen"),
        (IMAGES.clone().requires_grad_(), layer_of(32, 3, 0), "the images' gradient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_others_are_left_to_torch(images, layer, why):
    assert not taken(images, layer)


def test_without_autocast_torch_computes():
    assert not first_convolution.takes(IMAGES, layer_of(32, 3, 0))


def test_a_layer_that_is_watched_is_called():
    layer, seen = layer_of(32, 3, 0), []
    layer.register_forward_hook(lambda layer, given, output: seen.append(output))
    with autocast():
        FusedSequential(layer)(IMAGES)
    assert len(seen) == 1


def test_where_the_order_is_another_torch_computes(monkeypatch):
    monkeypatch.setattr(first_convolution, "_gradients", lambda *a: [torch.ones(32)] * 2)
    first_convolution._fault.cache_clear()
    try:
        assert first_convolution.why_not(IMAGES.shape, 32, 3, 0)
    finally:
        first_convolution._fault.cache_clear()


@pytest.mark.parametrize(("name", "number"), [("net", 1), ("cnn", 1), ("net", 2)])
def test_a_training_ends_with_the_same_bits(monkeypatch, config, very_few, name, number):
    settings = config(model__name=name, precision="bf16", batch_size=32, threads=number)
    used = []
    run = first_convolution.convolve
    monkeypatch.setattr(
        first_convolution, "convolve", lambda *a: (used.append(a[0].shape), run(*a))[1]
    )
    needs_tiles(IMAGES, layer_of(32, 3, 0))
    ours = train(settings, data=very_few)
    assert used
    monkeypatch.setenv(choice.VARIABLE, "torch")
    theirs = train(settings, data=very_few)
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics
