"""Max pooling by machine code against torch's: the same bits for all inputs, in all processes."""

import multiprocessing
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import BITS, assert_same_bits, kernels_used
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import kernels, models
from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.kernels import choice, max_pool, torch_parts
from mnist_core.models._fused import FusedSequential
from mnist_core.train import train

pytest.importorskip("llvmlite")

PALETTE = [0.0, -0.0, 1.0, 1.0, -1.0, -2.0, 3.0, 1e-7, -1e-7, float("inf"), float("-inf")]


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Kernels are looked for again, before and after the test."""
    max_pool._fault.cache_clear()
    max_pool._forward.cache_clear()
    yield
    max_pool._fault.cache_clear()
    max_pool._forward.cache_clear()


def channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


def maps_of(
    seed: int, shape: tuple[int, ...], dtype: torch.dtype, nan: float = 0.0, ties: bool = True
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator)
    if ties:
        palette = torch.tensor(PALETTE)
        values = palette[torch.randint(len(palette), shape, generator=generator)]
    values[torch.rand(shape, generator=generator) < nan] = float("nan")
    return channels_last(values.to(dtype))


def by_torch(maps: Tensor, relu: bool) -> Tensor:
    pooled = functional.max_pool2d(maps, 2)
    return functional.relu(pooled) if relu else pooled


def both_ways(maps: Tensor, relu: bool, gradient: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the results and the gradients of torch's function and of ours."""
    found = []
    for function in (by_torch, lambda maps, relu: max_pool.pool(maps, relu=relu)):
        leaf = maps.clone(memory_format=torch.preserve_format).requires_grad_()
        pooled = function(leaf, relu)
        pooled.backward(gradient)
        assert leaf.grad is not None
        found.append((pooled.detach(), leaf.grad))
    return found


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    channels=st.sampled_from([8, 16, 24, 32, 40, 64, 72]),
    rows=st.integers(2, 9),
    columns=st.integers(2, 9),
    dtype=st.sampled_from([*BITS]),
    relu=st.booleans(),
    nan=st.sampled_from([0.0, 0.1, 0.9]),
    ties=st.booleans(),
)
def test_values_and_gradients_have_the_bits_of_torch(
    seed, n, channels, rows, columns, dtype, relu, nan, ties
):
    maps = maps_of(seed, (n, channels, rows, columns), dtype, nan, ties)
    gradient = maps_of(seed + 1, (n, channels, rows // 2, columns // 2), dtype, 0.05, ties)
    assert max_pool.takes(maps, relu=relu) == (not relu or max(rows, columns) > 3)
    if not max_pool.takes(maps, relu=relu):
        return
    theirs, ours = both_ways(maps, relu, gradient)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("dtype", [*BITS])
def test_of_equal_values_the_first_wins_and_of_several_nan_the_last(dtype):
    nan = float("nan")
    windows = torch.tensor([[1, 1, 1, 1], [0, -0.0, 0, 0], [nan, 5, nan, 1], [-1, -2, -1, -3]])
    maps = channels_last(windows.view(4, 1, 2, 2).expand(4, 8, 2, 2).to(dtype))
    theirs, ours = both_ways(maps, False, torch.ones(4, 8, 1, 1, dtype=dtype))
    assert_same_bits(ours[1], theirs[1])
    assert ours[1][:, 0].flatten(1).argmax(1).tolist() == [0, 0, 2, 0]


@pytest.mark.parametrize("form", ["expanded", "channels first", "every second"])
def test_a_gradient_may_lie_anyhow_in_memory(form):
    maps = maps_of(3, (2, 16, 6, 7), torch.float32)
    gradient = {
        "expanded": torch.tensor(0.5).expand(2, 16, 3, 3),
        "channels first": torch.randn(2, 16, 3, 3),
        "every second": torch.randn(2, 16, 3, 6)[..., ::2],
    }[form]
    theirs, ours = both_ways(maps, True, gradient)
    assert torch.equal(ours[1], theirs[1])


def test_the_result_is_the_same_without_gradients():
    maps = maps_of(4, (3, 32, 5, 5), torch.bfloat16)
    expected = max_pool.pool(maps.clone().requires_grad_(), relu=True).detach()
    with torch.no_grad():
        assert_same_bits(max_pool.pool(maps, relu=True), expected)
    with torch.inference_mode():
        assert_same_bits(max_pool.pool(maps, relu=True), expected)


@pytest.mark.parametrize("relu", [False, True])
def test_the_gradient_can_be_differentiated(relu):
    maps = maps_of(5, (2, 8, 5, 4), torch.float64, ties=False)
    found = []
    for function in (by_torch, lambda maps, relu: max_pool.pool(maps, relu=relu)):
        leaf = maps.clone(memory_format=torch.preserve_format).requires_grad_()
        loss = (function(leaf, relu) ** 3).sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        found.append((gradient.detach(), *torch.autograd.grad((gradient**2).sum(), leaf)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_threads_of_torch_share_the_images():
    maps = maps_of(6, (31, 32, 12, 12), torch.bfloat16)
    gradient = maps_of(7, (31, 32, 6, 6), torch.bfloat16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        if sys.platform == "linux":
            assert torch_parts.openmp() is not None
        theirs, ours = both_ways(maps, True, gradient)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for a, b in zip(ours, theirs, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize(
    ("maps", "why"),
    [
        (torch.zeros(2, 8, 4, 4), "channels first"),
        (channels_last(torch.zeros(2, 12, 4, 4)), "channels"),
        (channels_last(torch.zeros(0, 8, 4, 4)), "no images"),
        (channels_last(torch.zeros(2, 8, 1, 4)), "a side of 1"),
        (channels_last(torch.zeros(2, 8, 4, 4, dtype=torch.int32)), "integers"),
        (torch.zeros(2, 8, 4, 4, device="meta"), "no memory"),
        (torch.zeros(8, 4, 4), "no batch"),
        (channels_last(torch.zeros(2, 8, 4, 8))[..., ::2], "not next to each other"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_maps_are_left_to_torch(maps, why):
    assert not max_pool.takes(maps, relu=False)


def fused(*layers: nn.Module) -> tuple[FusedSequential, nn.Sequential]:
    return FusedSequential(*layers), nn.Sequential(*layers)


@pytest.mark.parametrize(
    "pooling",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d((2, 2), (2, 2)),
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("behind", [nn.ReLU(), nn.Tanh(), None], ids=["relu", "tanh", "end"])
def test_layers_in_a_row_compute_what_torchs_do(pooling, behind):
    layers = [nn.Conv2d(1, 16, 3), pooling, *([behind] if behind else [])]
    ours, theirs = fused(*layers)
    images = channels_last(torch.randn(2, 1, 9, 10))
    ours.to(memory_format=torch.channels_last)
    for model in (ours, theirs):
        model.zero_grad()
        model(images).square().sum().backward()
        weights = layers[0].weight.grad.clone()
        if model is ours:
            kept = weights
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(kept, weights)


def test_layers_that_are_watched_are_called():
    seen = []
    model = FusedSequential(nn.MaxPool2d(2), nn.ReLU())
    for layer in model:
        layer.register_forward_hook(lambda layer, given, output: seen.append(type(layer).__name__))
    model(channels_last(torch.randn(2, 8, 4, 4)))
    assert seen == ["MaxPool2d", "ReLU"]


def test_transformed_models_are_left_to_torch():
    model, plain = fused(nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.ReLU())
    images = torch.randn(3, 2, 1, 8, 8)
    assert torch.equal(torch.func.vmap(model)(images), torch.func.vmap(plain)(images))


@pytest.mark.parametrize("name", ["net", "cnn", "net_deep", "drawing_cnn"])
def test_the_models_use_it_in_training_and_evaluation(monkeypatch, name):
    config = models.resolve(ModelConfig(name=name))
    model = models.build(config, 10).to(memory_format=torch.channels_last)
    used: list[object] = []
    run = max_pool._run  # others of the model's layers have kernels as well
    monkeypatch.setattr(max_pool, "_run", lambda *a: (used.append(a[0]), run(*a))[1])
    pools = sum(isinstance(layer, nn.MaxPool2d) for layer in model)
    pools -= name == "net_deep"  # the last leaves one pixel
    model(torch.randn(2, 1, 28, 28)).sum().backward()
    assert len(used) == 2 * pools
    with torch.no_grad():
        model.eval()(torch.randn(2, 1, 28, 28))
    assert len(used) == 3 * pools


@pytest.mark.parametrize("name", ["siamese", "siamese_flex", "pair_concat"])
def test_so_do_the_models_of_pairs(monkeypatch, name):
    config = models.resolve(ModelConfig(name=name))
    model = models.build(config, 10).to(memory_format=torch.channels_last)
    used = kernels_used(monkeypatch)
    model(torch.randn(2, 2, 28, 28)).sum().backward()
    assert used


def test_the_environment_leaves_all_to_torch(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "torch")
    used = kernels_used(monkeypatch)
    FusedSequential(nn.MaxPool2d(2))(channels_last(torch.randn(2, 8, 4, 4)))
    assert not used
    assert choice.VARIABLE in max_pool.why_not()


def test_another_word_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "numba")
    with pytest.raises(ConfigError, match=choice.VARIABLE):
        choice.setting()


@pytest.mark.usefixtures("forgotten")
def test_without_llvmlite_torch_computes_the_same(monkeypatch):
    maps = maps_of(8, (2, 8, 4, 4), torch.float32)
    model = FusedSequential(nn.MaxPool2d(2), nn.ReLU())
    expected = model(maps)
    max_pool._fault.cache_clear()
    max_pool._forward.cache_clear()
    for name in ("machine_code", "max_pool_code"):
        monkeypatch.delattr(kernels, name)
        monkeypatch.delitem(sys.modules, f"{kernels.__name__}.{name}")
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    used = kernels_used(monkeypatch)
    assert torch.equal(model(maps), expected)
    assert not used
    assert "llvmlite" in max_pool.why_not()


@pytest.mark.usefixtures("forgotten")
def test_kernels_that_differ_from_this_torch_are_not_used(monkeypatch):
    relu = functional.relu  # as a later torch might: what is 0 stays 0 but for one
    monkeypatch.setattr(functional, "relu", lambda values: relu(values) + 1)
    assert max_pool.why_not()


@pytest.mark.usefixtures("forgotten")
def test_without_torchs_threads_many_threads_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(torch_parts, "openmp", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert "OpenMP" in max_pool.why_not()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not max_pool.why_not()


def pooled_elsewhere(threads: int, queue: "multiprocessing.Queue[list[float]]") -> None:
    torch.set_num_threads(threads)
    maps = maps_of(9, (8, 16, 6, 6), torch.float32, ties=False).requires_grad_()
    for _ in range(20):
        pooled = max_pool.pool(maps, relu=True)
        pooled.square().sum().backward()
    queue.put([max_pool.why_not() == "", pooled.sum().item(), maps.grad.sum().item()])


@pytest.mark.parametrize(
    ("start", "threads"),
    [("fork", 1), pytest.param("spawn", 2, marks=pytest.mark.long)],
)
def test_workers_compute_the_same(start, threads):
    here: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
    before = torch.get_num_threads()
    try:
        # A process that has computed with several threads may not be forked, whatever computes.
        pooled_elsewhere(before if start == "fork" else threads, here)
    finally:
        torch.set_num_threads(before)
    context = multiprocessing.get_context(start)
    there = context.Queue()
    workers = [context.Process(target=pooled_elsewhere, args=(threads, there)) for _ in range(2)]
    for worker in workers:
        worker.start()
    expected = here.get(timeout=60)
    assert [there.get(timeout=120) for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("net", {}),
        ("net", {"model__activation": "tanh"}),
        ("cnn", {}),
        ("flex_cnn", {"model__depth": 3, "model__width": 16, "model__kernel": 5}),
        ("flex_cnn", {"model__activation": "gelu", "model__width": 16, "model__norm": "none"}),
        ("siamese", {"pairs__per_epoch": 160, "pairs__evaluation": 64, "model__width": 16}),
    ],
)
def test_a_training_ends_with_the_same_bits(
    monkeypatch, config, very_few, name, options, precision
):
    settings = config(model__name=name, precision=precision, batch_size=32, **options)
    used = kernels_used(monkeypatch)
    ours = train(settings, data=very_few)
    assert used
    monkeypatch.setenv(choice.VARIABLE, "torch")
    used.clear()
    theirs = train(settings, data=very_few)
    assert not used
    for key, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[key], value), key
    assert ours.metrics == theirs.metrics
