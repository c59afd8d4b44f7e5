"""Where torch has other internals than expected, the public way gives the same results."""

import pytest
import torch
from torch import nn

from mnist_core.device import torch_internals
from mnist_core.optim import OPTIMIZERS, OptimConfig
from mnist_core.trainer import optimizers

CACHED = (
    torch_internals._muon_function,
    torch_internals._bare,
    torch_internals._lerp_function,
)


@pytest.fixture(autouse=True)
def _first_use():
    """Check anew in each test, and after it."""
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


def trained(name, steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 8), nn.Linear(8, 4))
    optimizer = optimizers.build(OptimConfig(name=name, lr=0.01), model.parameters())
    for _ in range(steps):
        optimizers.zero_grad(optimizer)
        model(torch.randn(32, 9)).square().mean().backward()
        optimizers.step(optimizer)
    return [p.detach().clone() for p in model.parameters()]


def test_this_torch_has_all_that_is_expected(recwarn):
    for name in OPTIMIZERS:
        trained(name)
    torch_internals.cpu_has_bf16()
    torch_internals.lerp_all([torch.zeros(2)], [torch.ones(2)], 0.5)
    assert not [one for one in recwarn if one.category is RuntimeWarning]


def renamed(params, grads, buffers, *, lr, weight_decay, momentum):
    raise AssertionError("it must not be called")


@pytest.mark.parametrize("change", ["missing", "renamed"])
def test_muon_without_the_function_under_it(monkeypatch, change):
    expected = trained("muon")
    torch_internals._muon_function.cache_clear()
    if change == "missing":
        monkeypatch.setattr(torch.optim, "_muon", None)
    else:
        monkeypatch.setattr(torch_internals.torch.optim._muon, "muon", renamed)
        monkeypatch.setattr(torch.optim.Muon, "step", _steps_with(torch.optim.Muon))
    with pytest.warns(RuntimeWarning, match=r"_muon\.muon"):
        got = trained("muon")
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def _steps_with(kind, function=torch.optim._muon.muon):
    """Return ``kind.step`` as it is while the module's function has another name."""
    own = kind.step

    def step(self, closure=None):
        torch.optim._muon.muon, other = function, torch.optim._muon.muon
        try:
            return own(self, closure)
        finally:
            torch.optim._muon.muon = other

    return step


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_optimizers_without_the_methods_under_their_wrappers(monkeypatch, name):
    expected = trained(name)
    torch_internals._bare.cache_clear()
    monkeypatch.setattr(torch_internals.inspect, "unwrap", lambda method: print)
    with pytest.warns(RuntimeWarning, match="wrapper"):
        got = trained(name)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize(("flags", "has"), [("fpu avx512_bf16 sse", True), ("fpu sse", False)])
def test_bf16_without_torchs_answer(monkeypatch, tmp_path, flags, has):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
    monkeypatch.setattr(torch_internals, "_CPU", tmp_path / "cpuinfo")
    with pytest.warns(RuntimeWarning, match="avx512_bf16"):
        assert torch_internals.cpu_has_bf16() is has


def refuse(*arguments):
    raise TypeError


def forget(averages, values, weight):
    """Do nothing, unlike torch's."""


@pytest.mark.parametrize("other", [None, refuse, forget])
def test_averages_without_the_function_for_lists(monkeypatch, other):
    monkeypatch.setattr(torch, "_foreach_lerp_", other)
    moved = [torch.zeros(3), torch.full((2, 2), 8.0)]
    with pytest.warns(RuntimeWarning, match="_foreach_lerp_"):
        torch_internals.lerp_all(moved, [torch.ones(3), torch.zeros(2, 2)], 0.25)
    assert moved[0].tolist() == [0.25] * 3 and moved[1].tolist() == [[6.0, 6.0], [6.0, 6.0]]
