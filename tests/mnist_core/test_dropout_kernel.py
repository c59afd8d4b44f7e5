"""Dropout by machine code against torch's operations: the same bits, the same random numbers."""

import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import assert_same_bits, kernels_used, numbers
from torch import Tensor

from mnist_core import kernels
from mnist_core.kernels import choice, dropout, random_words
from mnist_core.models._layers import Dropout
from mnist_core.train import train

pytest.importorskip("llvmlite")

CACHES = (dropout._fault, dropout._kernel, random_words._drawing)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Kernels are looked for again, before and after the test."""
    for one in CACHES:
        one.cache_clear()
    yield
    for one in CACHES:
        one.cache_clear()


def generator(seed: int, drawn: int = 0) -> torch.Generator:
    """Return a generator that ``drawn`` words of 32 bits were taken from."""
    made = torch.Generator().manual_seed(seed)
    for _ in range(drawn):
        torch.rand(1, generator=made)
    return made


def both_ways(
    values: Tensor, p: float, gradient: Tensor, *generators: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Return the results and the gradients of torch's operations and of ours."""
    found = []
    for function, source in zip((dropout.by_torch, dropout._drop), generators, strict=True):
        leaf = values.clone().requires_grad_()
        dropped = function(leaf, p, source)
        dropped.backward(gradient)
        assert leaf.grad is not None
        found.append((dropped.detach(), leaf.grad))
    return found


@given(
    seed=st.integers(0, 2**32),
    drawn=st.integers(0, 1300),
    n=st.one_of(st.integers(1, 40), st.integers(1, 4000)),
    p=st.floats(0.0, 0.999),
    dtype=st.sampled_from([torch.bfloat16, torch.float32, torch.float64]),
    nan=st.sampled_from([0.0, 0.2]),
)
def test_values_gradients_and_random_numbers_are_those_of_torch(seed, drawn, n, p, dtype, nan):
    values, gradient = (numbers(seed + i, 8 * n, dtype, nan).view(8, n) for i in range(2))
    sources = [generator(seed, drawn) for _ in range(2)]
    for _ in range(2):
        assert dropout.takes(values, p)
        theirs, ours = both_ways(values, p, gradient, *sources)
        for a, b in zip(ours, theirs, strict=True):
            assert_same_bits(a, b)
        assert torch.equal(sources[0].get_state(), sources[1].get_state())


def test_draws_before_and_after_continue_torchs_stream():
    drawn = []
    for function in (dropout.by_torch, dropout._drop):
        source = generator(3)
        # A normal number is drawn together with a second one, which the generator keeps.
        before = torch.randn(1, generator=source, dtype=torch.float64)
        dropped = function(torch.ones(800), 0.4, source)
        after = torch.randn(3, generator=source, dtype=torch.float64)
        drawn.append((before, dropped, after, torch.randperm(50, generator=source)))
    for ours, theirs in zip(*drawn, strict=True):
        assert torch.equal(ours, theirs)


def test_the_layer_draws_from_torchs_own_generator(monkeypatch):
    found = []
    for setting in ("auto", "torch"):
        monkeypatch.setenv(choice.VARIABLE, setting)
        torch.manual_seed(8)
        found.append((Dropout(0.3)(torch.ones(64)), Dropout(0.3)(torch.ones(6)), torch.rand(2)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_threads_of_torch_share_the_numbers():
    values, gradient = (numbers(i, 120_008, torch.bfloat16) for i in range(2))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        theirs, ours = both_ways(values, 0.5, gradient, generator(1), generator(1))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


def test_a_gradient_may_lie_anyhow_in_memory():
    values = torch.randn(16, 24)
    for gradient in (torch.tensor(0.5).expand(16, 24), torch.randn(24, 16).T):
        theirs, ours = both_ways(values, 0.5, gradient, generator(1), generator(1))
        assert torch.equal(ours[1], theirs[1])


def test_the_result_is_the_same_without_gradients():
    values = torch.randn(64).requires_grad_()
    expected = dropout._drop(values, 0.5, generator(1)).detach()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.equal(dropout._drop(values, 0.5, generator(1)), expected)


def test_the_gradient_can_be_differentiated():
    values, found = torch.randn(6, 8, dtype=torch.float64), []
    for function in (dropout.by_torch, dropout._drop):
        leaf = values.clone().requires_grad_()
        loss = (function(leaf, 0.3, generator(1)) ** 3).sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        found.append((gradient.detach(), *torch.autograd.grad((gradient**2).sum(), leaf)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("values", "p", "why"),
    [
        (torch.ones(12), 0.5, "not a multiple of 8"),
        (torch.ones(0), 0.5, "no numbers"),
        (torch.ones(8, 2).T, 0.5, "not next to each other"),
        (torch.ones(8, dtype=torch.float16), 0.5, "fp16"),
        (torch.ones(8, device="meta"), 0.5, "no memory"),
        (torch.ones(8), 1 - 1e-9, "none is kept"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_values_are_left_to_torch(values, p, why):
    assert not dropout.takes(values, p)


def test_transformed_layers_are_left_to_torch():
    values = torch.ones(3, 16)
    found = torch.func.vmap(Dropout(0.5), randomness="same")(values)
    assert set(found.flatten().tolist()) <= {0.0, 2.0}


def test_the_environment_leaves_all_to_torch(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "torch")
    used = kernels_used(monkeypatch)
    Dropout(0.5)(torch.ones(8))
    assert not used
    assert choice.VARIABLE in dropout.why_not()


@pytest.mark.usefixtures("forgotten")
def test_without_llvmlite_torch_computes_the_same(monkeypatch):
    torch.manual_seed(1)
    expected = Dropout(0.5)(torch.ones(80))
    for one in CACHES:
        one.cache_clear()
    for name in ("dropout_code", "machine_code", "random_words_code"):
        monkeypatch.delattr(kernels, name)
        monkeypatch.delitem(sys.modules, f"{kernels.__name__}.{name}")
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    used = kernels_used(monkeypatch)
    torch.manual_seed(1)
    assert torch.equal(Dropout(0.5)(torch.ones(80)), expected)
    assert not used
    assert "llvmlite" in dropout.why_not()


@pytest.mark.usefixtures("forgotten")
def test_kernels_that_draw_other_numbers_than_this_torch_are_not_used(monkeypatch):
    theirs = dropout.by_torch

    def another(values: Tensor, p: float, source: torch.Generator) -> Tensor:
        torch.rand(1, generator=source)  # as a torch might that draws one word more
        return theirs(values, p, source)

    monkeypatch.setattr(dropout, "by_torch", another)
    assert dropout.why_not()


@pytest.mark.usefixtures("forgotten")
def test_a_generator_of_another_size_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(random_words, "_BYTES", 16)
    assert dropout.why_not()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("drawing_cnn", {}),
        ("flex_cnn", {"model__dropout": 0.3, "model__width": 16, "model__head_width": 36}),
        ("siamese_flex", {"pairs__per_epoch": 160, "pairs__evaluation": 64, "model__width": 16}),
    ],
)
def test_a_training_ends_with_the_same_bits(
    monkeypatch, config, very_few, name, options, precision
):
    settings = config(model__name=name, precision=precision, batch_size=32, **options)
    drops = kernels_used(monkeypatch)
    ours = train(settings, data=very_few)
    assert drops
    monkeypatch.setenv(choice.VARIABLE, "torch")
    theirs = train(settings, data=very_few)
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics
