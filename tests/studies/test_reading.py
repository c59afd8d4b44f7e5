"""The reading of the test set against the evaluation itself, and a whole small study of pairs."""

import dataclasses

import pytest
import torch
from toy import make_plan

from mnist_core import models, tasks
from mnist_core.checkpoints import checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data.datasets import load, load_test
from mnist_core.device import runtime
from mnist_core.train import resolve
from objectives.trainer.test_images import read_test
from search_spaces.space import Choice, Float, Space
from studies.engines.inline import Inline
from studies.protocol import phases
from studies.protocol.control import Control
from studies.protocol.phases import run_study
from studies.spec import StudySpec

QUICK = {
    "model.name": "siamese",
    "model.width": 8,
    "pairs.per_epoch": 64,
    "pairs.evaluation": 200,
    "epochs": 1,
    "batch_size": 32,
    "device": "cpu",
    "threads": 1,
}


def kept(folder, name, config, metrics):
    """Write a model with fresh weights; return it and its file."""
    torch.manual_seed(0)
    model = models.build(config.model, 10).eval()
    path = folder / f"{name}.safetensors"
    checkpoint.save(path, model, config, n_classes=10, metrics=metrics)
    return model, path


def test_a_classifier(tmp_path):
    config = resolve(TrainConfig().override({"model.name": "lenet5", "device": "cpu"}))
    model, path = kept(tmp_path, "a", config, {"val_accuracy": 0.1})
    values = read_test(config, {4: path})
    assert values.keys() == {4}
    found = tasks.evaluate(
        model,
        load_test(config.data),
        config,
        runtime=runtime.resolve(config),
    )
    assert values[4].keys() == {f"test_{name}" for name in found.metrics}
    for name, value in found.metrics.items():
        assert values[4][f"test_{name}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("loss", ["bce", "contrastive"])
def test_pairs_take_the_threshold_of_the_validation(tmp_path, loss):
    config = resolve(TrainConfig().override({**QUICK, "loss.name": loss, "precision": "fp32"}))
    machine = runtime.resolve(config)
    model, _ = kept(tmp_path, "draft", config, {})

    def evaluate(split, threshold=None):
        return tasks.evaluate(model, split, config, runtime=machine, threshold=threshold)

    threshold = evaluate(load(config.data).validation).threshold
    _, path = kept(tmp_path, "model", config, {"val_threshold": threshold})
    values = read_test(config, {0: path})[0]
    test = load_test(config.data)
    found = evaluate(test, threshold)
    assert values["test_threshold"] == threshold != evaluate(test).threshold
    assert values["test_accuracy"] == pytest.approx(found.accuracy, abs=1e-6)
    assert values["test_roc_auc"] == pytest.approx(found.roc_auc, abs=1e-4)
    assert values["test_accuracy_low"] < found.accuracy < values["test_accuracy_high"]
    assert set(values) == {
        "test_accuracy",
        "test_accuracy_low",
        "test_accuracy_high",
        "test_loss",
        "test_roc_auc",
        "test_average_precision",
        "test_threshold",
    }


def test_a_study_of_pairs_from_search_to_test(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {}})
    spec = StudySpec(
        name="pairs",
        goal="Which loss is best?",
        space=Space({"loss.name": Choice(("bce", "supcon")), "optim.lr": Float(1e-3, 1e-2)}),
        scientific="loss.name",
        fixed={},
        defaults={"bce": {"optim.lr": 0.003}, "supcon": {"optim.lr": 0.003}},
        baseline="bce",
        metric="val_roc_auc",
        objective="pairs",
        trials=2,
        trials_per_choice=1,
    )
    plan = dataclasses.replace(
        make_plan(tmp_path, trials=2),
        spec=spec,
        train=TrainConfig().override(QUICK),
        trials_per_choice=1,
    )
    result = run_study(plan, Control(Inline()))
    assert result.states == {"COMPLETE": 2}
    assert result.best in ("bce", "supcon")
    # The two trials are the defaults of the two losses: nothing is confirmed twice, three seeds.
    assert len(result.test.values) == 6
    for values in result.test.values.values():
        assert 0 < values["test_roc_auc"] < 1
        assert values["test_accuracy_low"] <= values["test_accuracy"] <= 1
    assert result.best_row.test.mean == pytest.approx(
        sum(result.test.values[r.number]["test_roc_auc"] for r in result.confirm[result.best]) / 3
    )
