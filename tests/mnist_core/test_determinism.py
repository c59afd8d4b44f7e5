"""Same in, same out: bit by bit, whatever else the process does, and in another process."""

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from waiting import PATIENCE

from mnist_core.checkpoints import checkpoint
from mnist_core.train import train

AUGMENT = {"augment__shift": 0.1, "augment__rotate": 10}


def weights_of(model):
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def history_of(result):
    return [{k: v for k, v in e.items() if k != "seconds"} for e in result.history]


def same(first, second):
    assert weights_of(first.model) == weights_of(second.model)
    assert history_of(first) == history_of(second)
    assert (first.metrics, first.confusion) == (second.metrics, second.confusion)


@pytest.fixture
def two_epochs(config):
    """net, augmented, in 8 steps."""

    def build(**changes):
        return config(**{"epochs": 2, "seed": 4, "batch_size": 25} | AUGMENT | changes)

    return build


@pytest.mark.parametrize(
    ("model", "precision", "deterministic", "threads"),
    [
        ("net", "fp32", False, 1),
        ("net", "bf16", False, 1),
        ("net", "fp32", True, 1),
        pytest.param("cnn", "bf16", True, 1, marks=pytest.mark.long),
        ("lenet5", "fp32", False, 2),
        pytest.param("lenet5", "bf16", True, 2, marks=pytest.mark.long),
    ],
)
def test_twice_the_same(very_few, two_epochs, model, precision, deterministic, threads):
    chosen = two_epochs(
        model__name=model, precision=precision, deterministic=deterministic, threads=threads
    )
    same(train(chosen, very_few), train(chosen, very_few))


def test_deterministic_mode_is_another_mode_not_another_result(very_few, two_epochs):
    same(train(two_epochs(), very_few), train(two_epochs(deterministic=True), very_few))


def disturb(*_):
    """Use every global generator there is."""
    torch.manual_seed(torch.randint(2**31, ()).item())
    torch.rand(17)
    np.random.seed(1)
    random.seed(2)


@pytest.mark.parametrize("model", ["net", "cnn"])
def test_global_generators_have_no_say(very_few, two_epochs, model):
    """Neither before a training nor between its steps; cnn draws dropout from torch's own."""
    chosen = two_epochs(model__name=model, reports_per_epoch=2)
    torch.manual_seed(1)
    first = train(chosen, very_few)
    disturb()
    same(first, train(chosen, very_few))
    same(first, train(chosen, very_few, disturb))


def test_a_training_within_a_training(very_few, two_epochs):
    """A report may train something else: an objective of a user may."""
    chosen = two_epochs(model__name="cnn")
    other = two_epochs(model__name="lenet5", seed=9, epochs=1)
    inner = []
    same(
        train(chosen, very_few),
        train(chosen, very_few, lambda *_: inner.append(train(other, very_few))),
    )
    same(inner[0], inner[1])
    same(inner[0], train(other, very_few))


def test_other_seeds_are_other_trainings(very_few, two_epochs):
    results = [train(two_epochs(seed=seed), very_few) for seed in (0, 1, 2**63 - 1)]
    assert len({weights_of(result.model) for result in results}) == 3
    assert len({result.metrics["val_loss"] for result in results}) == 3


SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from mnist_core.checkpoints import checkpoint
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.data import Split, load
from mnist_core.train import train

config = TrainConfig.from_mapping(json.loads(sys.argv[1]), source="test")
data = load(DataConfig())
part = Split(data.train.images[:100], data.train.labels[:100])
result = train(config, replace(data, train=part))
checkpoint.save(Path(sys.argv[2]), result.model, config, n_classes=10, metrics=result.metrics)
print(json.dumps([result.metrics, result.confusion]))
"""


def test_another_process(digits, very_few, two_epochs, root, tmp_path):
    """cnn, augmented, deterministic: as in a process of its own."""
    chosen = two_epochs(model__name="cnn", deterministic=True)
    path = tmp_path / "there.safetensors"
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(chosen.to_dict()), str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    here = train(chosen, replace(digits, train=very_few.train))
    assert json.loads(ran.stdout) == [here.metrics, here.confusion]
    assert weights_of(checkpoint.load(path).model) == weights_of(here.model)
