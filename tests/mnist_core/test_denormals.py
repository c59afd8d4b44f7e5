"""Denormal numbers are taken for 0 while an optimizer steps: the same weights, sooner."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mnist_core.kernels import choice, denormals
from mnist_core.optim import OptimConfig
from mnist_core.trainer import optimizers

LEAST = torch.finfo(torch.float32).tiny
BY_NUMBER = [
    "sgd", "momentum", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adadelta", "adagrad",
]  # fmt: skip


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def denormal(n: int = 1 << 18) -> Tensor:
    return torch.full((n,), 1e-39)


def test_all_threads_of_torch_flush_and_no_longer_afterwards(threads):
    pytest.importorskip("llvmlite")
    numbers = denormal()
    if denormals.why_not():
        pytest.skip(denormals.why_not())
    for _ in range(2):
        assert (numbers * 1.0).min() > 0
        with denormals.flushed():
            assert not (numbers * 1.0).view(torch.int32).any()
    assert (numbers * 1.0).min() > 0


def test_an_error_within_ends_it_as_well(threads):
    numbers = denormal()
    with pytest.raises(ZeroDivisionError), denormals.flushed():
        raise ZeroDivisionError
    assert (numbers * 1.0).min() > 0


def test_who_flushes_already_still_does_afterwards():
    numbers = denormal(8)
    with denormals.flushed():
        pass  # the program's own number is made
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        with denormals.flushed():
            pass
        assert not (numbers * 1.0).view(torch.int32).any()
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("fault", ["environment", "kernel"])
def test_without_the_kernel_this_thread_flushes(monkeypatch, threads, fault):
    if fault == "environment":
        monkeypatch.setenv(choice.VARIABLE, "torch")
    else:
        monkeypatch.setattr(denormals, "_fault", lambda: "no kernel")
    few = denormal(8)
    assert denormals.why_not()
    with denormals.flushed():
        flushed = not (few * 1.0).view(torch.int32).any()
    assert flushed == torch.set_flush_denormal(False)
    assert (few * 1.0).min() > 0


def stepped(
    name: str, seed: int, steps: int, *, flush: bool, **settings: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a layer after ``steps``, of which most gradients are 0, and its optimizer."""
    source = torch.Generator().manual_seed(seed)
    layer = nn.Linear(33, 21)
    for weight in layer.parameters():
        weight.data = torch.randn(weight.shape, generator=source)
    made = optimizers.build(OptimConfig(name=name, **settings), layer.parameters())
    for step in range(steps):
        for weight in layer.parameters():
            weight.grad = torch.randn(weight.shape, generator=source)
            weight.grad[torch.rand(weight.shape, generator=source) < 0.5] = 0.0
            # As where a unit dies, or an image's border is empty.
            row = torch.arange(len(weight)).view(-1, *[1] * (weight.ndim - 1))
            weight.grad *= 10.0 ** -(step * row % 60)
            if step > 5:
                weight.grad[: len(weight) // 2] = 0.0
        if flush:
            optimizers.update(made, layer.parameters(), scaler=None, grad_clip=0.0)
        else:
            optimizers.step(made)
    return layer, made


@given(
    name=st.sampled_from(BY_NUMBER), seed=st.integers(0, 2**32), decay=st.sampled_from([0, 0.01])
)
def test_the_weights_have_the_same_bits(name, seed, decay):
    ours, theirs = (
        stepped(name, seed, 12, flush=flush, weight_decay=decay)[0] for flush in (True, False)
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.view(torch.int32), b.view(torch.int32))


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw", "nadam"])
def test_no_momentum_stays_at_a_denormal_number(name):
    decay = {"momentum" if name == "momentum" else "beta1": 0.7}  # with .9 it takes 900 steps
    (ours, ours_made), (theirs, theirs_made) = (
        stepped(name, 1, 300, flush=flush, **decay) for flush in (True, False)
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.view(torch.int32), b.view(torch.int32))

    def tiny(made: torch.optim.Optimizer) -> int:
        momenta = [
            one["momentum_buffer" if name == "momentum" else "exp_avg"]
            for one in made.state.values()
        ]
        return sum(((one != 0) & (one.abs() < LEAST)).sum().item() for one in momenta)

    assert tiny(theirs_made) > 100  # what costs the time
    assert tiny(ours_made) == 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (OptimConfig(name="adam"), True),
        (OptimConfig(name="adam", eps=1e-20), False),  # as small as the root of a denormal number
        (OptimConfig(name="rmsprop", weight_decay=1e-5), False),  # draws weights to such numbers
        (OptimConfig(name="adam", weight_decay=1e-5), False),
        (OptimConfig(name="adamw", weight_decay=1e-2), True),
        (OptimConfig(name="muon"), False),  # its step multiplies matrices
    ],
    ids=str,
)
def test_other_steps_compute_with_denormal_numbers(config, expected):
    made = optimizers.build(config, nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).parameters())
    assert optimizers._may_flush(made) == expected
