"""What a training will cost: the second step's time, once for each image trained on or judged."""

import itertools

import pytest
import torch

from mnist_core import models, train
from mnist_core.checkpoints.summary import summarise
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.data import load
from mnist_core.finders import costs

BASE = {"device": "cpu", "precision": "fp32", "threads": 1, "epochs": 3}


@pytest.fixture
def a_step_takes_2_s(monkeypatch):
    clock = itertools.count(step=2)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))


def measure(**settings):
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    config = train.resolve(TrainConfig().override({**BASE, **dotted}))
    return config, costs.measure(config, load(config.data))


def test_images(a_step_takes_2_s):
    config, cost = measure(model__name="lenet5", batch_size=100, reports_per_epoch=2)
    # 5,000 images an epoch; 1,000 are judged, twice an epoch, by the forward pass alone.
    assert cost.seconds == pytest.approx(2 / 100 * 3 * (5000 + 2 * 1000 / 3))
    assert cost.parameters == models.count_parameters(models.build(config.model, 10)) == 61_706
    assert cost.epochs == 3
    assert cost.memory > 10_000_000


def test_pairs(a_step_takes_2_s):
    _, cost = measure(
        model__name="pair_concat", batch_size=50, pairs__per_epoch=400, pairs__evaluation=300
    )
    assert cost.seconds == pytest.approx(2 / 50 * 3 * (400 + 300 / 3))


def test_accumulated_batches_are_one_step(a_step_takes_2_s):
    _, cost = measure(model__name="lenet5", batch_size=100, accumulate=4)
    assert cost.seconds == pytest.approx(2 / 400 * 3 * (5000 + 1000 / 3))


@pytest.mark.parametrize("name", models.names())
def test_operations_are_those_of_torchs_counter(name):
    config = models.resolve(ModelConfig(name=name))
    expected = summarise(config).flops
    assert costs.forward_flops(config, 10) == pytest.approx(expected, rel=1e-3)
    assert expected > 100_000


def test_a_training_after_it_is_the_same():
    config = train.resolve(
        TrainConfig().override({**BASE, "model.name": "lenet5", "epochs": 1, "batch_size": 500})
    )
    data = load(config.data)
    before = train.train(config, data).metrics
    state = torch.get_rng_state()
    costs.measure(config, data)
    torch.set_rng_state(state)
    assert train.train(config, data).metrics == before
