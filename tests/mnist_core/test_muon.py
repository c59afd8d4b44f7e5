"""Muon: torch's own for the hidden weights, torch's own AdamW for the rest, bit by bit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mnist_core import optim
from mnist_core.config import OptimConfig
from mnist_core.errors import ConfigError
from mnist_core.train import train
from mnist_core.trainer import optimizers

ROOT = Path(__file__).resolve().parents[2]
VALUES = {"lr": 0.01, "weight_decay": 0.2, "momentum": 0.8, "beta1": 0.7, "beta2": 0.95}


def reference(matrices, others, lr=0.01):
    return (
        torch.optim.Muon(
            matrices, lr=lr, weight_decay=0.2, momentum=0.8, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=lr, weight_decay=0.2, betas=(0.7, 0.95), fused=True),
    )


def layers():
    return nn.Sequential(nn.Linear(9, 24), nn.ReLU(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4))


def test_steps_are_torchs_own():
    """And the output layer, the last one, is AdamW's."""
    torch.manual_seed(0)
    ours = layers()
    theirs = layers()
    theirs.load_state_dict(ours.state_dict())
    optimizer = optimizers.build(OptimConfig(name="muon", **VALUES), ours.parameters())
    hidden = [theirs[0].weight, theirs[2].weight]
    both = reference(hidden, [p for p in theirs.parameters() if not any(p is h for h in hidden)])
    for _ in range(5):
        inputs = torch.randn(32, 9)
        optimizers.zero_grad(optimizer)
        ours(inputs).square().mean().backward()
        optimizers.step(optimizer)
        for one in both:
            one.zero_grad()
        theirs(inputs).square().mean().backward()
        for one in both:
            one.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_is_a_matrix_of_its_outputs(layout):
    """Whatever the order in memory; the columns of the matrix are in that order, too."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 3, 5, 5).to(memory_format=layout))
    order = (0, 2, 3, 1) if layout is torch.channels_last else (0, 1, 2, 3)
    flat = nn.Parameter(weight.detach().permute(order).flatten(1).clone())
    output = nn.Parameter(torch.randn(4, 8))
    before = weight.detach().clone()
    optimizer = optimizers.build(OptimConfig(name="muon", **VALUES), [weight, output])
    muon, _ = reference([flat], [nn.Parameter(torch.randn(1))])
    for _ in range(3):
        gradient = torch.randn(8, 3, 5, 5)
        weight.grad, flat.grad = gradient.clone(), gradient.permute(order).flatten(1).clone()
        optimizers.step(optimizer)
        muon.step()
    assert not torch.equal(weight, before)
    assert torch.equal(weight.detach().permute(order).flatten(1), flat)


def test_the_learning_rate_of_both_moves():
    model = layers()
    optimizer = optimizers.build(OptimConfig(name="muon", weight_decay=0.0), model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(5, 9)).square().mean().backward()
    optimizers.step(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_update_is_as_large_as_one_of_adamw():
    """A root mean square of 0.2 learning rates (Liu 2025); the iteration ends near, not at it."""
    torch.manual_seed(0)
    weight, output = nn.Parameter(torch.zeros(64, 32)), nn.Parameter(torch.zeros(2, 64))
    config = OptimConfig(name="muon", lr=0.1, weight_decay=0.0)
    optimizer = optimizers.build(config, [weight, output])
    weight.grad, output.grad = torch.randn(64, 32), torch.randn(2, 64)
    optimizers.step(optimizer)
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.02, rel=0.3)


def test_defaults_and_refusals(refusal):
    resolved = optim.resolve(OptimConfig(name="muon")).to_dict()
    assert resolved == {
        "name": "muon",
        "lr": 1e-3,
        "weight_decay": 0.1,
        "momentum": 0.95,
        "beta1": 0.9,
        "beta2": 0.999,
    }
    message = refusal(ConfigError, optim.resolve, OptimConfig(name="muon", alpha=0.5))
    assert message.startswith("optim.alpha: 'muon' has no alpha")
    only = nn.Linear(9, 4)
    message = refusal(
        ConfigError, optimizers.build, OptimConfig(name="muon"), list(only.parameters())
    )
    assert "hidden layers" in message


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "fp64"])
def test_it_trains(very_few, config, precision):
    some = config(model__name="lenet5", optim__name="muon", optim__lr=0.01, precision=precision)
    some = some.override({"epochs": 4, "batch_size": 20})
    losses = [entry["train_loss"] for entry in train(some, very_few).history]
    assert losses[-1] < 0.6 * losses[0]
