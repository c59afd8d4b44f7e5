"""Optimizers: the defaults are torch's own, and what an optimizer has not is refused."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mnist_core import optim
from mnist_core.config import OptimConfig
from mnist_core.errors import ConfigError
from mnist_core.optim import OPTIMIZERS as ALL
from mnist_core.trainer import optimizers

ROOT = Path(__file__).resolve().parents[2]

OPTIMIZERS = tuple(name for name in ALL if name != "muon")
"""Those that are one of torch's for all parameters; muon is two, see test_muon.py."""

TORCH = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
}
CHOSEN = {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}
"""Where the name itself says other values than torch's defaults."""

COMPUTED = {"foreach", "fused", "differentiable", "capturable", "maximize"}
"""Arguments that say how a step is computed, not which step."""

SETTINGS = ("lr", "weight_decay", "momentum", "beta1", "beta2", "alpha", "rho", "eps")


def parameters():
    return [nn.Parameter(torch.ones(3))]


def torch_defaults(name):
    arguments = inspect.signature(TORCH[name]).parameters
    return {
        key: argument.default
        for key, argument in arguments.items()
        if key not in COMPUTED and argument.default is not inspect.Parameter.empty
    }


def has(name):
    """The settings that torch's class takes, in our names."""
    keys = set(torch_defaults(name))
    if "betas" in keys:
        keys |= {"beta1", "beta2"}
    if name == "sgd":
        keys.discard("momentum")  # with one it is called "momentum"
    return keys & set(SETTINGS)


def test_every_name_is_covered():
    assert set(TORCH) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_built_has_torchs_defaults(name):
    optimizer = optimizers.build(OptimConfig(name=name), parameters())
    assert type(optimizer) is TORCH[name]
    got = {key: optimizer.defaults[key] for key in torch_defaults(name) if key != "lr"}
    wanted = {key: value for key, value in torch_defaults(name).items() if key != "lr"}
    assert got == wanted | CHOSEN.get(name, {})
    lr = float(torch_defaults(name)["lr"])
    assert float(optimizer.defaults["lr"]) == lr
    assert not optimizer.defaults["maximize"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resolve_says_the_same_defaults(name):
    resolved = optim.resolve(OptimConfig(name=name)).to_dict()
    wanted = torch_defaults(name) | CHOSEN.get(name, {})
    if "betas" in wanted:
        wanted["beta1"], wanted["beta2"] = wanted["betas"]
    assert set(resolved) == {"name", *has(name)}
    for key in has(name):
        assert resolved[key] == float(wanted[key]), key


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_given_values_arrive(name):
    given = {key: 0.125 for key in has(name)}
    optimizer = optimizers.build(OptimConfig(name=name, **given), parameters())
    (group,) = optimizer.param_groups
    arrived = dict(group)
    if "betas" in arrived:
        arrived["beta1"], arrived["beta2"] = arrived["betas"]
    assert {key: arrived[key] for key in given} == given


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_value_that_the_optimizer_has_not(name, refusal):
    for key in set(SETTINGS) - has(name):
        config = OptimConfig(name=name, **{key: 0.5})
        message = refusal(ConfigError, optim.resolve, config)
        assert message.startswith(f"optim.{key}: {name!r} has no {key}, but got 0.5; it has ")
        assert set(message.rpartition("it has ")[2].split(", ")) == has(name)
        assert refusal(ConfigError, optimizers.build, config, parameters()) == message


def test_nesterov_without_momentum_is_refused(refusal):
    message = refusal(
        ConfigError, optimizers.build, OptimConfig(name="nesterov", momentum=0.0), parameters()
    )
    assert message.startswith("optim.momentum")


@given(
    name=st.sampled_from(OPTIMIZERS),
    values=st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(0, 100, exclude_min=True),
            "weight_decay": st.floats(0, 10),
            "eps": st.floats(0, 1, exclude_min=True),
            **{
                key: st.floats(0, 1, exclude_max=True)
                for key in ("momentum", "beta1", "beta2", "alpha", "rho")
            },
        },
    ),
)
def test_every_allowed_value_builds_or_is_refused_in_a_line(name, values):
    config = OptimConfig(name=name, **values)
    try:
        resolved = optim.resolve(config)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert optim.resolve(resolved) == resolved
    optimizers.build(resolved, parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_goes_downhill(name):
    (parameter,) = these = parameters()
    optimizer = optimizers.build(OptimConfig(name=name), these)
    parameter.grad = torch.tensor([1.0, -1.0, 0.0])
    optimizer.step()
    up_or_down = torch.sign(parameter.detach() - 1)
    if name == "adamw":  # its weight decay is on by default and pulls all of them to 0
        assert up_or_down.tolist() == [-1, 1, -1]
    else:
        assert up_or_down.tolist() == [-1, 1, 0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_torchs_own_to_the_last_bit(name):
    def trained(make, zero_grad, step):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        optimizer = make(model.parameters())
        for _ in range(5):
            loss = model(torch.randn(32, 8)).square().mean()
            zero_grad(optimizer)
            loss.backward()
            step(optimizer)
        return [p.detach() for p in model.parameters()], optimizer

    def build(these):
        return optimizers.build(OptimConfig(name=name, weight_decay=0.01), these)

    def build_as_torch(these):
        (group,) = build(list(these := list(these))).param_groups
        defaults = set(inspect.signature(TORCH[name]).parameters) - {"params"}
        return TORCH[name](these, **{key: group[key] for key in defaults})

    ours, made = trained(build, optimizers.zero_grad, optimizers.step)
    torchs, reference = trained(
        build_as_torch, lambda optimizer: optimizer.zero_grad(), lambda optimizer: optimizer.step()
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, torchs, strict=True))
    assert vars(made).keys() == vars(reference).keys()
    assert made.state_dict()["param_groups"] == reference.state_dict()["param_groups"]
    assert not any(p.requires_grad for state in made.state.values() for p in state.values())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_gradient_is_left(name):
    (parameter,) = these = parameters()
    optimizer = optimizers.build(OptimConfig(name=name), these)
    parameter.grad = torch.ones(3)
    optimizers.zero_grad(optimizer)
    assert parameter.grad is None


def test_a_training_does_not_import_torchs_compiler():
    program = f"""
import sys
import torch
from mnist_core.trainer import optimizers
from mnist_core.config import DataConfig, OptimConfig, TrainConfig
from mnist_core.data import load
from mnist_core.train import train

for name in {OPTIMIZERS!r}:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = optimizers.build(OptimConfig(name=name), [parameter])
    parameter.sum().backward()
    optimizers.step(optimizer)
matrices = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
optimizer = optimizers.build(OptimConfig(name="muon"), matrices.parameters())
matrices(torch.ones(2, 3)).sum().backward()
optimizers.step(optimizer)
train(TrainConfig(epochs=1, batch_size=2000), load(DataConfig()))
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


class Refusing(torch.optim.SGD):
    """As Adagrad of torch 2.11 on a GPU: it takes ``fused`` and refuses the first step."""

    said = "`fused=True` requires all the params to be on supported devices"

    def step(self):
        raise RuntimeError(self.said)


def test_an_optimizer_without_a_fused_step_for_the_device_takes_another(monkeypatch):
    monkeypatch.setattr(torch.optim, "SGD", Refusing)
    made = optimizers.build(OptimConfig(name="sgd"), [nn.Parameter(torch.zeros(2, device="meta"))])
    assert (made.defaults["fused"], made.defaults["foreach"]) == (None, True)
    made = optimizers.build(OptimConfig(name="sgd"), [nn.Parameter(torch.zeros(2))])
    assert made.defaults["fused"]


def test_a_broken_device_is_not_taken_for_one_without_fused_steps(monkeypatch):
    class Broken(Refusing):
        said = "CUDA error: an illegal memory access was encountered"

    monkeypatch.setattr(torch.optim, "SGD", Broken)
    with pytest.raises(RuntimeError, match="CUDA error"):
        optimizers.build(OptimConfig(name="sgd"), [nn.Parameter(torch.zeros(2, device="meta"))])
