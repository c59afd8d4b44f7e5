"""The classification objective against the trainer itself."""

import json

import pytest
from small_data import small_data

from mnist_core import train as trainer
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data import load, load_confirm
from mnist_core.evaluation.right_answers import RightAnswers
from mnist_core.evaluation.validation_summary import ValidationSummary
from mnist_core.train import TrainingFailed, train
from objectives.base import StopTraining, Task, TrainingError
from objectives.classification import Classification
from search_spaces.space import Choice, Float, Space

SPACE = Space(
    {
        "optim.name": Choice(("sgd", "adam")),
        "lr": Float(1e-5, 1.0, log=True, sets="optim.lr"),
    }
)
BASE = TrainConfig().override(
    {
        "data.name": "folder",
        "data.root": str(small_data()),
        "model.name": "lenet5",
        "batch_size": 256,
        "epochs": 2,
        "device": "cpu",
        "threads": 1,
    }
)
PARAMS = {"optim.name": "adam", "lr": 0.003}
TASK = Task(number=3, params=PARAMS, seed=11)


def ignore(step, metrics):
    pass


def test_it_is_the_trainer_with_the_trials_params_and_seed(tmp_path):
    reports = []
    objective = Classification(BASE, SPACE, keep_models=tmp_path / "models")
    outcome = objective(TASK, lambda step, metrics: reports.append((step, dict(metrics))))

    config = BASE.override({"optim.name": "adam", "optim.lr": 0.003, "seed": 11})
    result = train(config, load(config.data))
    assert outcome.metrics == result.metrics
    assert not outcome.stopped
    assert [step for step, _ in reports] == [1, 2]
    assert reports[-1][1] == result.metrics
    assert outcome.attributes["confusion"] == result.confusion
    summary = ValidationSummary.of(result.evaluation)
    assert ValidationSummary.from_json(outcome.attributes["validation"]) == summary
    assert len(json.dumps(outcome.attributes["validation"])) < 2048
    assert outcome.attributes["device"] == "cpu"
    assert outcome.attributes["threads"] == 1
    kept = checkpoint.load(tmp_path / "models" / "3.safetensors")
    assert kept.confirm_trial == 3
    assert kept.metrics == result.metrics
    assert kept.config.seed == 11


def test_a_stop_ends_it_but_not_at_the_last_report(tmp_path):
    def stop_at(last):
        def report(step, metrics):
            if step >= last:
                raise StopTraining

        return report

    objective = Classification(BASE, SPACE, keep_models=tmp_path)
    early = objective(TASK, stop_at(1))
    assert early.stopped and "validation" not in early.attributes
    assert not list(tmp_path.iterdir())
    late = objective(TASK, stop_at(2))
    assert not late.stopped and "validation" in late.attributes
    assert late.attributes["images"] == 2 * early.attributes["images"]


@pytest.mark.parametrize("kind", ["NonFiniteLoss", "OutOfMemory"])
def test_a_failed_training_has_a_kind(monkeypatch, kind):
    def fails(config, data, report, **options):
        raise TrainingFailed(kind, "what happened")

    monkeypatch.setattr(trainer, "train", fails)
    with pytest.raises(TrainingError, match="what happened") as caught:
        Classification(BASE, SPACE)(TASK, ignore)
    assert caught.value.kind == kind


def test_a_confirmed_model_is_judged_by_images_that_no_report_has_seen(tmp_path):
    base = BASE.override({"data.confirm": "half"})
    reports = []
    objective = Classification(base, SPACE, confirms=True, keep_models=tmp_path)
    outcome = objective(TASK, lambda step, metrics: reports.append(set(metrics)))
    images = load_confirm(base.data)
    found = evaluate_checkpoint.judge(checkpoint.load(tmp_path / "3.safetensors"), images)
    assert outcome.metrics["confirm_accuracy"] == found.metrics["accuracy"]
    assert not any(name.startswith("confirm_") for report in reports for name in report)
    answers = RightAnswers.from_json(outcome.attributes["right"])
    assert (answers.right == found.right.numpy()).all()
    assert answers.of == "confirm images" and len(answers.right) == len(images)
    assert Classification(base, SPACE)(TASK, ignore).metrics.keys() == reports[-1]


def test_without_confirm_images_the_validation_images_judge():
    outcome = Classification(BASE, SPACE, confirms=True)(TASK, ignore)
    answers = RightAnswers.from_json(outcome.attributes["right"])
    assert answers.of == "validation images" and "confirm_accuracy" not in outcome.metrics
    assert answers.right.mean() == outcome.metrics["val_accuracy"]
