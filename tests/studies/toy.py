"""A toy study that takes milliseconds: two optimizers, an analytic objective, noise by seed."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_core.config import TrainConfig
from objectives.base import Outcome, Report, Task, TrainingError
from search_spaces.space import Choice, Float, Space, When
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.spec import StudySpec

SPACE = Space(
    {
        "optim.name": Choice(("sgd", "adam", "adagrad")),
        "sgd.lr": Float(1e-3, 1.0, log=True, sets="optim.lr", when=When("optim.name", ("sgd",))),
        "adam.lr": Float(1e-4, 0.1, log=True, sets="optim.lr", when=When("optim.name", ("adam",))),
        "adagrad.lr": Float(
            1e-4, 0.1, log=True, sets="optim.lr", when=When("optim.name", ("adagrad",))
        ),
    }
)
SPEC = StudySpec(
    name="toy",
    goal="Which toy is best?",
    space=SPACE,
    scientific="optim.name",
    fixed={},
    defaults={
        "sgd": {"sgd.lr": 0.01},
        "adam": {"adam.lr": 0.001},
        "adagrad": {"adagrad.lr": 0.01},
    },
    baseline="adam",
    trials=9,
    trials_per_choice=2,
)
TOP = {"sgd": 0.95, "adam": 0.98, "adagrad": 0.90}


def make_plan(
    folder: Path, *, trials: int = 9, seeds: int = 3, sqlite: bool = False, **settings: Any
) -> Plan:
    """A plan in ``folder``, kept in a journal; ``sqlite``: in a database, which takes 1 s more."""
    place = folder / "toy"
    return Plan(
        name="toy",
        spec=SPEC,
        settings=Settings.from_mapping(settings, source="test"),
        origins={},
        train=TrainConfig(device="cpu", threads=1),
        trials=trials,
        trials_per_choice=2,
        confirm_seeds=seeds,
        workers=1,
        threads=1,
        folder=place,
        storage_url=f"sqlite:///{place / 'study.db'}" if sqlite else f"journal:///{place / 'log'}",
        data_fingerprint="toy-data",
    )


@dataclass
class Toy:
    """The objective; best at lr 0.01 for all."""

    keep_models: Path | None = None
    failing: tuple[str, ...] = ()
    noise: float = 0.001
    ran: list[Task] = field(default_factory=list)

    def __call__(self, task: Task, report: Report) -> Outcome:
        self.ran.append(task)
        name = task.params["optim.name"]
        if name in self.failing:
            raise TrainingError("NonFiniteLoss", "the loss is nan at step 1")
        lr = task.params[f"{name}.lr"]
        noise = random.Random(f"{name} {task.seed}").gauss(0, self.noise)
        value = TOP[name] - 0.02 * (math.log10(lr) + 2) ** 2 + noise
        for step in (1, 2, 3):
            report(step, {"val_accuracy": value - 0.1 / step})
        if self.keep_models is not None:
            self.keep_models.mkdir(parents=True, exist_ok=True)
            (self.keep_models / f"{task.number}.safetensors").write_text("weights")
        metrics = {"val_accuracy": value, "val_loss": 1 - value}
        return Outcome(
            metrics=metrics,
            attributes={"device": "cpu", "precision": "fp32", "threads": 1, "device_name": "toy"},
        )


@dataclass
class TestSet:
    """Stands for the test set; counts how often it is read."""

    __test__ = False

    readings: list[list[int]] = field(default_factory=list)

    def __call__(self, plan: Plan, models: Mapping[int, Path]) -> dict[int, dict[str, float]]:
        self.readings.append(list(models))
        return {number: {"test_accuracy": 0.9 + number / 1000} for number in models}
