"""The pairs objective against the trainer itself; what it shares is tested with classification."""

import pickle

import pytest
from small_data import small_data

from mnist_core.checkpoints import checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data.datasets import load
from mnist_core.errors import ConfigError
from mnist_core.evaluation.right_answers import RightAnswers
from mnist_core.train import train
from objectives.base import Task
from objectives.classification import Classification
from objectives.pairs import Pairs
from search_spaces.space import Choice, Float, Space

SPACE = Space({"loss.name": Choice(("bce", "supcon")), "lr": Float(1e-4, 0.1, sets="optim.lr")})
BASE = TrainConfig().override(
    {
        "data.name": "folder",
        "data.root": str(small_data()),
        "model.name": "siamese",
        "model.width": 8,
        "pairs.per_epoch": 100,
        "pairs.evaluation": 100,
        "epochs": 2,
        "device": "cpu",
        "threads": 1,
    }
)
TASK = Task(number=2, params={"loss.name": "supcon", "lr": 0.003}, seed=5)


def ignore(step, metrics):
    pass


def test_it_is_the_trainer_with_the_trials_params_and_seed(tmp_path):
    objective = pickle.loads(pickle.dumps(Pairs(BASE, SPACE, keep_models=tmp_path)))
    outcome = objective(TASK, ignore)
    config = BASE.override({"loss.name": "supcon", "optim.lr": 0.003, "seed": 5})
    result = train(config, load(config.data))
    assert outcome.metrics == result.metrics
    assert {"val_accuracy", "val_roc_auc", "val_threshold"} < set(outcome.metrics)
    assert outcome.attributes["confusion"] == result.confusion
    kept = checkpoint.load(tmp_path / "2.safetensors")
    assert kept.metrics == result.metrics


def test_models_of_another_task_are_refused():
    with pytest.raises(ConfigError, match=r"classification.*'siamese'"):
        Classification(BASE, SPACE)(TASK, ignore)
    base = TrainConfig().override({"model.name": "net", "device": "cpu"})
    with pytest.raises(ConfigError, match=r"pairs.*'net'"):
        Pairs(base, Space({"lr": Float(1e-4, 0.1, sets="optim.lr")}))(
            Task(number=0, params={"lr": 0.01}, seed=0), ignore
        )


def test_confirmed_models_are_judged_at_the_threshold_of_the_validation_pairs(tmp_path):
    base = BASE.override({"data.confirm": "half"})
    outcome = Pairs(base, SPACE, confirms=True)(TASK, ignore)
    assert outcome.metrics["confirm_threshold"] == outcome.metrics["val_threshold"]
    answers = RightAnswers.from_json(outcome.attributes["right"])
    assert answers.of == "pairs of confirm images"
    assert answers.pairs is not None and answers.pairs.shape == (100, 2)
    right = answers.right
    assert len(right) == 100 and right.mean() == outcome.metrics["confirm_accuracy"]
