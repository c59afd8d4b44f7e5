"""The range test on problems whose answer is known, and on a real model.

Gradient descent on a quadratic of curvatures h diverges above 2 / max(h). With learning rates that
grow by a factor r from step to step, the distance to the bottom along h shrinks as exp(-h S), where
S = lr / (1 - 1/r) is the sum of the learning rates so far; so the loss falls fastest over log lr
where 2 h S = 1: at lr = (1 - 1/r) / (2 h).
"""

import csv
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_core import train
from mnist_core.errors import ConfigError
from mnist_core.finders import lr_finder
from mnist_core.finders.lr_finder import find, sweep, write_csv, write_plot

LOW, HIGH = 1e-7, 10.0


def quadratic(curvatures, *, offset=0.0, noise=0.0, seed=0):
    """Gradient descent on offset + sum of h x^2 / 2, from x = 1."""
    h = np.asarray(curvatures, dtype=float)
    x, random = np.ones_like(h), np.random.default_rng(seed)

    def step(lr):
        nonlocal x
        loss = offset + 0.5 * (h * x**2).sum()
        with np.errstate(over="ignore"):
            x = x - lr * h * x
        return float(loss * (1 + noise * random.standard_normal()))

    return step


@pytest.mark.parametrize("h", [0.3, 10.0, 300.0])
@pytest.mark.parametrize("steps", [100, 200, 1000])
def test_one_curvature_has_a_known_answer(h, steps):
    test = sweep(quadratic([h]), low=LOW, high=HIGH, steps=steps)
    growth = (HIGH / LOW) ** (1 / (steps - 1))
    # The smoothing's standard deviation is a 40th of the range; it moves the steepest point less.
    expected = (1 - 1 / growth) / (2 * h)
    assert abs(math.log(test.suggestion / expected)) < math.log(HIGH / LOW) / 40
    assert test.lower < test.suggestion < test.lowest
    assert test.problem == ""


@pytest.mark.parametrize("spread", [1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_suggestion_is_below_divergence_by_a_known_factor(spread, noise):
    """Whatever the conditioning: not above 2 / max(h), and not below a 200th of it.

    With 200 steps over 8 decades (1 - 1/r) / 2 is 1 / 22 of the bound for one curvature; what is
    ill-conditioned falls later, and the smoothing may shift by a factor of 1.6.
    """
    h = np.geomspace(5 / spread, 5, 20)
    bound = 2 / h.max()
    test = sweep(quadratic(h, noise=noise), low=LOW, high=HIGH, steps=200)
    assert bound / 200 < test.suggestion < bound
    assert test.lowest < bound * 1.6


def test_divergence_is_seen_where_it_is():
    """Above 2 / max(h), but not far: what has shrunk until there must first grow again."""
    h = np.geomspace(0.005, 5, 20)
    test = sweep(quadratic(h), low=LOW, high=HIGH, steps=200)
    assert 0.4 < test.diverged < 8 * 0.4
    assert len(test.lrs) < 200
    assert test.lrs[-1] <= test.diverged


def test_a_least_squares_problem_by_sgd_of_torch():
    """The bound from the largest eigenvalue of the Hessian, computed by itself."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 8, generator=generator) * torch.logspace(-1, 0.5, 8)
    y = x @ torch.randn(8, generator=generator)
    model = torch.nn.Linear(8, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def step(lr):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = (model(x).squeeze(1) - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    bound = 2 / torch.linalg.eigvalsh(2 * x.T @ x / len(x)).max().item()
    test = sweep(step, low=LOW, high=HIGH, steps=200)
    assert bound / 200 < test.suggestion < bound
    assert bound < test.diverged < 6 * bound


@settings(max_examples=40)
@given(
    h=st.floats(0.1, 1000),
    offset=st.floats(0, 1),
    noise=st.floats(0, 0.1),
    seed=st.integers(0, 2**32),
    steps=st.integers(100, 400),
)
def test_what_is_found_is_in_order(h, offset, noise, seed, steps):
    step = quadratic([h], offset=offset * h, noise=noise, seed=seed)
    test = sweep(step, low=LOW, high=100.0, steps=steps)
    assert len(test.lrs) == len(test.losses) == len(test.smoothed)
    assert np.isfinite(test.smoothed).all()
    if test.suggestion is None:
        assert test.problem
        return
    assert LOW <= test.lower <= test.suggestion <= test.lowest <= 100
    assert test.suggestion < 2 / h
    if test.diverged is not None:
        assert test.lowest <= test.diverged


# What cannot be answered is said


def test_a_loss_that_never_falls_has_no_suggestion():
    random = np.random.default_rng(0)
    test = sweep(lambda _: 2.3 + 0.1 * random.standard_normal(), low=LOW, high=HIGH, steps=200)
    assert test.suggestion is test.lower is test.lowest is test.diverged is None
    assert test.problem.startswith("the loss never falls clearly")


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_fall(seed):
    """Batches of few images: the smoothed curve has dips, but not for the learning rate."""
    random = np.random.default_rng(seed)
    test = sweep(lambda _: 2.3 + 0.5 * random.standard_normal(), low=LOW, high=HIGH, steps=200)
    assert test.suggestion is None


def test_an_explosion_does_not_spread_into_what_was_before_it():
    values = iter([*np.full(100, 2.3), *np.linspace(2.3, 0.8, 50), 1e9])
    test = sweep(lambda _: next(values), low=LOW, high=HIGH, steps=200)
    assert len(test.losses) == 151
    assert test.lowest >= test.lrs[140]  # two of the smoothing's standard deviations
    assert test.lrs[98] < test.suggestion < test.lrs[149]


def test_a_range_that_is_too_low():
    test = sweep(quadratic([5.0]), low=1e-7, high=1e-5, steps=100)
    assert test.suggestion is None
    test = sweep(quadratic([5.0]), low=1e-6, high=3e-3, steps=200)
    assert test.problem == "the loss still falls at the end; raise --high above 0.003"


def test_a_range_that_is_too_high():
    test = sweep(quadratic([5.0]), low=1.0, high=10.0, steps=100)
    assert test.suggestion is None
    assert "lower --low" in test.problem
    test = sweep(quadratic([5.0], offset=1.0), low=0.05, high=10.0, steps=200)
    assert "lower --low" in test.problem


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it(bad):
    calls = []

    def step(lr):
        calls.append(lr)
        return bad if len(calls) > 150 else 2.3 / (1 + lr * 1e4)

    test = sweep(step, low=LOW, high=HIGH, steps=200)
    assert len(calls) == 151
    assert test.diverged == calls[-1]
    assert len(test.losses) == 150
    assert test.suggestion is not None


def test_a_loss_back_above_where_it_began_has_diverged():
    """Though it is less than four times the lowest, as where a network answers at random again."""
    losses = np.concatenate([np.full(100, 2.3), np.linspace(2.3, 1.0, 50), np.full(50, 2.7)])
    values = iter(losses.tolist())
    test = sweep(lambda _: next(values), low=LOW, high=HIGH, steps=200)
    assert 150 < len(test.losses) < 170
    assert test.diverged == test.lrs[-1]


def curve(*points, steps, noise=0.0, seed=0):
    """Losses along straight lines between points ``(step, loss)``, one a step."""
    places, values = zip(*points, strict=True)
    random = np.random.default_rng(seed)
    losses = np.interp(np.arange(1, steps + 1), places, values)
    return iter((losses + noise * random.standard_normal(steps)).tolist())


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("again", [1.6, 2.0, 2.3])
def test_a_second_fall_is_not_looked_at(again, noise):
    """It falls to 1.2 at step 120, rises, and falls again, deeper and faster, till step 165."""
    points = [(1, 2.3), (80, 2.3), (120, 1.2), (140, again), (150, again), (165, 0.5), (200, 0.5)]
    values = curve(*points, steps=200, noise=noise)
    test = sweep(lambda _: next(values), low=LOW, high=HIGH, steps=200)
    assert test.lrs[80] < test.suggestion < test.lowest < test.lrs[125]
    assert test.problem == ""


@pytest.mark.parametrize("seed", range(10))
def test_a_bump_of_noise_ends_no_fall(seed):
    """Less than a quarter of the fall is undone between 130 and 140: it goes on falling."""
    points = [(1, 2.3), (80, 2.3), (130, 1.2), (140, 1.35), (170, 0.3), (200, 0.3)]
    values = curve(*points, steps=200, noise=0.1, seed=seed)
    test = sweep(lambda _: next(values), low=LOW, high=HIGH, steps=200)
    assert test.lowest > test.lrs[150]


def test_a_real_second_fall():
    """``tune-lr --model net --set threads=1 --steps 60``: at 0.01 it had diverged.

    It was at 1.14 at 0.0041 and at 2.94 at 0.01, and 0.019 was suggested, in the fall after that.
    """
    head = [2.31, 2.29, 2.31, 2.29, 2.3, 2.31, 2.28, 2.31, 2.3, 2.31, 2.3, 2.31, 2.31, 2.33, 2.29]
    head += [2.3, 2.28, 2.28, 2.28, 2.32, 2.27, 2.29, 2.29, 2.25, 2.26, 2.22, 2.23, 2.2, 2.16, 2.11]
    fall = [2.02, 1.91, 1.65, 1.36, 1.14, 1.21, 1.78, 2.94, 1.53, 1.36, 1.44, 1.15, 1.14, 0.62]
    values = iter([*head, *fall, 2.65, 1.42, 1.76, 26.96])
    test = sweep(lambda _: next(values), low=LOW, high=HIGH, steps=60)
    assert test.diverged == pytest.approx(0.24, rel=0.02)
    assert 0.0005 < test.suggestion < 0.0035
    assert test.lowest == pytest.approx(0.0041, rel=0.4)


def test_a_loss_of_zero_is_no_divergence():
    """A loss with a margin may be exactly 0; small ones after it are no multiple of anything."""
    losses = iter([*np.full(80, 0.3), *np.linspace(0.3, 0, 60), *([0.0, 0.02] * 30)])
    test = sweep(lambda _: float(next(losses)), low=LOW, high=HIGH, steps=200)
    assert test.diverged is None
    assert LOW * (HIGH / LOW) ** 0.4 < test.suggestion < LOW * (HIGH / LOW) ** 0.7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"low": 0.0}, "the range must be 0 < low < high, but got 0 to 10"),
        ({"low": 10.0}, "the range must be 0 < low < high, but got 10 to 10"),
        ({"high": math.inf}, "the range must be 0 < low < high, but got 1e-07 to inf"),
        ({"high": math.nan}, "the range must be 0 < low < high, but got 1e-07 to nan"),
        ({"steps": 19}, "steps must be at least 20, but got 19"),
    ],
)
def test_refused(refusal, change, said):
    options = {"low": LOW, "high": HIGH, "steps": 200} | change
    assert refusal(ConfigError, sweep, quadratic([1.0]), **options) == said


# A real model


@pytest.fixture
def resolved(config):
    def build(**changes):
        return train.resolve(config(model__name="lenet5", **changes))

    return build


def test_a_real_model(digits, resolved):
    """Adam's usual 1e-3 lies between where the loss begins to fall and where it is lowest."""
    seen = []
    test = find(resolved(), digits, on_step=lambda *step: seen.append(step))
    assert test.lower < 1e-3 < test.lowest
    assert test.lower < test.suggestion < test.lowest
    assert [number for number, _, _ in seen] == list(range(1, len(test.lrs) + 1))
    assert [loss for _, _, loss in seen] == test.losses.tolist()
    assert [lr for _, lr, _ in seen] == test.lrs.tolist()


def test_the_first_losses_are_the_trainers(few, resolved):
    """The same weights and the same batches as a training of this seed, up to the learning rate."""
    config = resolved(batch_size=100, epochs=1, optim__name="sgd", optim__lr=1e-12)
    result = train.train(config, few)
    test = find(config, few, low=1e-12, high=1.1e-12, steps=20)
    assert test.losses[:3].mean() == pytest.approx(result.metrics["train_loss"], rel=1e-6)


def test_nothing_outside_is_changed_and_the_seed_decides(few, resolved):
    config, state, threads = resolved(batch_size=16), torch.get_rng_state(), torch.get_num_threads()
    first = find(config, few, steps=20)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    again, other = find(config, few, steps=20), find(resolved(batch_size=16, seed=1), few, steps=20)
    assert np.array_equal(first.losses, again.losses)
    assert not np.array_equal(first.losses, other.losses)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 3},
        {"precision": "fp64"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"grad_clip": 0.1},
        {"batch_size": 5000},
    ],
)
def test_other_ways_of_stepping(few, resolved, changes):
    """At so low a rate nothing is learned, so each loss is that of a fresh model: ln 10."""
    test = find(resolved(**{"batch_size": 16} | changes), few, low=1e-12, high=2e-12, steps=20)
    assert len(test.losses) == 20
    assert np.allclose(test.losses, math.log(10), atol=0.1)


def test_pairs(few, config):
    made = train.resolve(config(model__name="siamese", batch_size=16, pairs__per_epoch=64))
    test = find(made, few, low=1e-9, high=2e-9, steps=20)
    assert np.allclose(test.losses, math.log(2), atol=0.2)


# What is written


@pytest.fixture
def seen():
    h = np.geomspace(0.005, 5, 20)
    return sweep(quadratic(h, noise=0.05), low=LOW, high=HIGH, steps=200)


def test_csv(seen, tmp_path):
    write_csv(seen, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, len(seen.lrs) + 1))
    for name, values in (("lr", seen.lrs), ("loss", seen.losses), ("smoothed", seen.smoothed)):
        assert [float(row[name]) for row in rows] == values.tolist()


def test_plot(seen, tmp_path):
    """A picture, with a line in the colour of the suggestion where the suggestion is."""
    write_plot(seen, tmp_path / "t.png", title="a title")
    with Image.open(tmp_path / "t.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    green = np.abs(pixels - [44, 160, 44]).sum(axis=2) < 30  # matplotlib's C2
    columns = np.flatnonzero(green.sum(axis=0) > 0.6 * len(pixels))
    # The axes take about two thirds of the width, so decades are about 80 pixels wide.
    assert 1 <= len(columns) <= 4


def test_plot_of_what_has_no_answer(tmp_path):
    test = sweep(lambda _: math.nan, low=LOW, high=HIGH, steps=20)
    assert test.suggestion is None
    assert len(test.losses) == 0
    write_plot(test, tmp_path / "t.png", title="nothing")
    assert (tmp_path / "t.png").stat().st_size > 1000


def test_no_global_state_of_matplotlib(seen, tmp_path):
    import sys

    write_plot(seen, tmp_path / "t.png", title="a title")
    assert "matplotlib" in sys.modules
    assert lr_finder.Figure.__module__ == "matplotlib.figure"
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
