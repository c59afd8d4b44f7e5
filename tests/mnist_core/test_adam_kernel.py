"""Adam's step for large weights by machine code, and the copies in bf16 that it writes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import assert_same_bits, kernels_used, numbers
from torch import Tensor, nn

from mnist_core import models
from mnist_core.kernels import adam, choice, denormals, half_weights, torch_parts
from mnist_core.models._fused import FusedSequential
from mnist_core.optim import OptimConfig
from mnist_core.train import train
from mnist_core.trainer import optimizers

pytest.importorskip("llvmlite")

SHAPE = (96, 704)  # more than 65,536 weights


@given(
    seed=st.integers(0, 2**32),
    n=st.sampled_from([16, 160, 16_400]),
    half=st.booleans(),
    lr=st.floats(1e-6, 1.0),
    betas=st.tuples(st.floats(0.52, 0.9999), st.floats(0.0, 0.99999)),
    eps=st.floats(1e-11, 1.0),
    decay=st.sampled_from([0.0, 0.01, 1.5]),
    decoupled=st.booleans(),
    flush=st.booleans(),
    nan=st.sampled_from([0.0, 0.01]),
)
def test_steps_have_the_bits_of_torch(seed, n, half, lr, betas, eps, decay, decoupled, flush, nan):
    group = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay}
    group["decoupled_weight_decay"] = decoupled
    start = numbers(seed, n, torch.float32)
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    half_weights.keep(ours)
    copy = half_weights.memory(ours)
    assert copy is not None
    states = [{"step": torch.tensor(0.0)} for _ in range(2)]
    for state in states:
        state |= {name: torch.zeros(n) for name in ("exp_avg", "exp_avg_sq")}
    for step in range(4):
        gradient = numbers(seed + step + 1, n, torch.bfloat16, nan)
        mine = gradient if half else gradient.float()
        if flush:
            with denormals.flushed():
                adam._step(ours, mine, copy, states[0], group)
                torch_parts.step_of_adam(theirs, gradient.float(), states[1], group)
        else:
            adam._step(ours, mine, copy, states[0], group)
            torch_parts.step_of_adam(theirs, gradient.float(), states[1], group)
        assert_same_bits(ours.detach(), theirs.detach())
        assert_same_bits(copy, theirs.detach().bfloat16())
        for name, expected in states[1].items():
            assert_same_bits(states[0][name], expected)


def layers() -> FusedSequential:
    torch.manual_seed(1)
    return FusedSequential(nn.Linear(SHAPE[1], SHAPE[0]), nn.ReLU(), nn.Linear(SHAPE[0], 3))


def steps(
    model: nn.Module, made: torch.optim.Optimizer, n: int, *, passes: int = 1, clip: float = 0.0
) -> None:
    source = torch.Generator().manual_seed(2)
    for _ in range(n):
        optimizers.zero_grad(made)
        for _ in range(passes):
            inputs = torch.randn(8, SHAPE[1], generator=source)
            with torch.autocast("cpu", torch.bfloat16):
                result = model(inputs)
            result.float().square().sum().backward()
        optimizers.update(made, [*model.parameters()], scaler=None, grad_clip=clip)


FORMS: list[dict[str, object]] = [{}, {"name": "adamw"}, {"name": "adamw", "weight_decay": 0.1}]


def built(model: nn.Module, **settings: object) -> torch.optim.Optimizer:
    made = optimizers.build(OptimConfig(**{"name": "adam", **settings}), model.parameters())
    models.keep_half_weights(model, made, torch.bfloat16)
    return made


def kept(model: FusedSequential) -> list[bool]:
    return [
        half_weights.memory(layer.weight) is not None
        for layer in model
        if isinstance(layer, nn.Linear)
    ]


@pytest.mark.parametrize("settings", FORMS, ids=str)
@pytest.mark.parametrize("options", [{}, {"passes": 3}, {"clip": 0.5}], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_is_trained_as_by_torch(monkeypatch, settings, options, threads):
    used, found = kernels_used(monkeypatch), []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for setting in ("auto", "torch"):
            monkeypatch.setenv(choice.VARIABLE, setting)
            model = layers()
            optimizer = built(model, **settings)
            assert kept(model) == [setting == "auto", False]
            used.clear()
            steps(model, optimizer, 4, **options)
            assert bool(used) == (setting == "auto")
            moments = [one for state in optimizer.state.values() for one in state.values()]
            found.append([*model.state_dict().values(), *moments])
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(*found, strict=True):
        assert_same_bits(ours, theirs)


def test_gradients_are_what_torch_makes_but_for_their_type():
    found = []
    for keep in (True, False):
        model = layers()
        optimizer = built(model)
        if not keep:
            half_weights.forget(model)
        steps(model, optimizer, 3)
        found.append(model[0].weight.grad)
    assert found[0].dtype is torch.bfloat16
    assert torch.equal(found[0].float(), found[1])


def test_a_weight_that_was_changed_is_cast_again():
    model = layers()
    steps(model, built(model), 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert half_weights.of(model[0]) is not None
        with torch.no_grad():
            model[0].weight.mul_(2)
        assert half_weights.of(model[0]) is None
        model.load_state_dict(layers().state_dict())
        assert half_weights.of(model[0]) is None
    assert half_weights.of(model[0]) is None  # without autocast


def test_a_graph_from_before_a_step_cannot_be_run_backward():
    model = layers()
    optimizer = built(model)
    steps(model, optimizer, 2)
    inputs = torch.randn(8, SHAPE[1], requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        result = model(inputs).float().sum()
    steps(model, optimizer, 1)
    with pytest.raises(RuntimeError, match="inplace"):
        result.backward()


def test_the_gradient_can_be_differentiated():
    found = []
    for keep in (True, False):
        model = layers()
        steps(model, built(model), 2)
        if not keep:
            half_weights.forget(model)
        model.zero_grad()
        inputs = torch.ones(2, SHAPE[1])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(inputs).float().square().sum()
        (gradient,) = torch.autograd.grad(loss, model[0].weight, create_graph=True)
        found.append((gradient.detach(), *torch.autograd.grad(gradient.sum(), model[2].weight)))
    for ours, theirs in zip(*found, strict=True):
        assert_same_bits(ours, theirs)


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"name": "momentum"}, torch.bfloat16),
        ({"name": "nadam"}, torch.bfloat16),
        ({"beta1": 0.4}, torch.bfloat16),
        ({}, torch.float32),
    ],
    ids=str,
)
def test_no_copies_for_other_optimizers_or_types(settings, dtype):
    model = layers()
    made = optimizers.build(OptimConfig(**{"name": "adam", **settings}), model.parameters())
    models.keep_half_weights(model, made, dtype)
    assert kept(model) == [False, False]


def test_an_eps_that_forbids_it_is_left_to_torch(monkeypatch):
    model = layers()
    optimizer = built(model, eps=1e-20)
    used = kernels_used(monkeypatch)
    steps(model, optimizer, 3)
    assert not used


def test_afterwards_any_optimizer_can_train_on():
    model = layers()
    steps(model, built(model), 3)
    models.forget_half_weights(model)
    another = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.ones(2, SHAPE[1])).float().sum()
    loss.backward()
    another.step()
    assert model[0].weight.grad is not None and model[0].weight.grad.dtype is torch.float32


def test_a_kernel_that_differs_from_this_torch_is_not_used(monkeypatch):
    theirs = torch_parts.step_of_adam

    def another(weight: nn.Parameter, gradient: Tensor, *rest: dict[str, Tensor]) -> None:
        theirs(weight, gradient * 1.01, *rest)

    adam._fault.cache_clear()
    monkeypatch.setattr(torch_parts, "step_of_adam", another)
    try:
        assert adam.why_not()
    finally:
        adam._fault.cache_clear()


@pytest.mark.parametrize(
    "options",
    [
        {"model__name": "cnn"},
        {"model__name": "cnn", "optim__name": "adamw", "accumulate": 2},
        {"model__name": "net", "average__name": "ema"},
        {"model__name": "mlp512", "grad_clip": 0.1},
    ],
    ids=str,
)
def test_a_training_ends_with_the_same_bits(monkeypatch, config, very_few, options):
    settings = config(precision="bf16", batch_size=16, epochs=2, **options)
    ours = train(settings, data=very_few)
    assert all(one.grad_dtype is one.dtype for one in ours.model.parameters())
    monkeypatch.setattr(adam, "keeps", lambda *_: False)
    theirs = train(settings, data=very_few)
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics
