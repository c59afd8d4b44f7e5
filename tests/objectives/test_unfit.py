"""Data that cannot be brought to the device are the machine's matter, not a trial's."""

import pytest
import torch

from mnist_core.config import TrainConfig
from mnist_core.data import datasets
from mnist_core.errors import DataError
from objectives.base import Task, WorkerUnfit
from objectives.classification import Classification
from objectives.measured import Measured
from search_spaces.space import Float, Space

OBJECTIVE = Classification(
    TrainConfig(device="cpu", precision="fp32", threads=1),
    Space({"optim.lr": Float(1e-3, 1e-2)}),
)


@pytest.mark.parametrize("objective", [OBJECTIVE, Measured(OBJECTIVE)], ids=["plain", "measured"])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), WorkerUnfit),
        (torch.AcceleratorError("CUDA error: device busy or unavailable", 46), WorkerUnfit),
        (MemoryError(), WorkerUnfit),
        (DataError("train-images: is damaged"), DataError),
        (RuntimeError("a mistake of ours"), RuntimeError),
    ],
)
def test_what_loading_raises(monkeypatch, objective, raised, expected):
    def load(config, device):
        raise raised

    monkeypatch.setattr(datasets, "load", load)
    with pytest.raises(expected) as caught:
        objective(Task(number=0, params={"optim.lr": 1e-3}, seed=0), lambda step, metrics: None)
    assert type(caught.value) is expected and "\n" not in str(caught.value)


def test_a_gpu_that_is_gone_is_the_machines_matter(monkeypatch):
    """It was there when the study was checked."""
    lost = Classification(OBJECTIVE.base.override({"device": "cuda:0"}), OBJECTIVE.space)
    with pytest.raises(WorkerUnfit, match="torch finds no GPU"):
        lost(Task(number=0, params={"optim.lr": 1e-3}, seed=0), lambda step, metrics: None)
