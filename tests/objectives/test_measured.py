"""What a trial costs, against the trainer's own counts."""

import dataclasses

import pytest
from small_data import small_data

from mnist_core import models
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.data.datasets import load
from objectives.base import Outcome, StopTraining, Task
from objectives.classification import Classification
from objectives.measured import Measured
from search_spaces.space import Choice, Space

SPACE = Space({"model.head_width": Choice((0, 16))})
BASE = (
    TrainConfig()
    .override(
        {"model.name": "flex_cnn", "batch_size": 256, "epochs": 2, "device": "cpu", "threads": 1}
    )
    .override({"model.depth": 1, "model.width": 8})
    .override({"data.name": "folder", "data.root": str(small_data())})
)
TASK = Task(number=0, params={"model.head_width": 16}, seed=3)


def train(measured):
    reports = []
    outcome = measured(TASK, lambda step, metrics: reports.append(dict(metrics)))
    return outcome, reports


def test_reports_have_the_parameters_and_the_outcome_the_seconds_as_well():
    plain = Classification(BASE, SPACE)
    bare = plain(TASK, lambda step, metrics: None)
    outcome, reports = train(Measured(plain, most_parameters=1e9))
    parameters = outcome.attributes["n_parameters"]
    assert [report.pop("parameters") for report in reports] == [parameters] * 2
    costs = {"parameters": parameters, "seconds": outcome.attributes["wall_seconds"]}
    assert outcome.metrics == {**bare.metrics, **costs}
    assert outcome.metrics["seconds"] > outcome.attributes["train_seconds"] > 0


def test_a_model_over_the_limit_is_not_trained():
    parameters = Measured(Classification(BASE, SPACE)).count(TASK)
    outcome, reports = train(Measured(Classification(BASE, SPACE), most_parameters=parameters - 1))
    assert outcome == Outcome(metrics={"parameters": parameters}, stopped=True)
    assert reports == []


def test_one_that_is_stopped_says_what_it_cost():
    def stop(step, metrics):
        raise StopTraining

    measured = Measured(Classification(BASE, SPACE), most_parameters=1e9)
    outcome = measured(TASK, stop)
    assert outcome.stopped and outcome.metrics.keys() >= {"parameters", "val_accuracy"}


@pytest.mark.parametrize("name", models.names())
def test_every_model_is_counted_without_being_made(name):
    config = ModelConfig(name=name)
    base = BASE.model_copy(update={"model": config})
    space = Space({"lr": Choice((1e-3, 1e-2), sets="optim.lr")})
    task = dataclasses.replace(TASK, params={"lr": 1e-3})
    classes = load(base.data).n_classes
    made = models.count_parameters(models.build(config, classes))
    assert Measured(Classification(base, space)).count(task) == made
