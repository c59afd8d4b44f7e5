"""An objective as a trainable of Ray Tune: its checkpoints are exact, copies are one training."""

import json
import shutil

import pytest
from small_data import small_data

from mnist_core.config import TrainConfig
from mnist_core.data import load
from mnist_core.errors import UserError
from mnist_core.train import train
from objectives import ray_trainable
from objectives.classification import Classification
from objectives.optuna_objective import trial_seed
from objectives.ray_trainable import as_ray_trainable
from search_spaces.space import Choice, Float, Space

SPACE = Space({"lr": Float(1e-4, 1.0, log=True, sets="optim.lr"), "batch_size": Choice((128, 256))})
BASE = TrainConfig().override(
    {
        "data.name": "folder",
        "data.root": str(small_data()),
        "model.name": "lenet5",
        "epochs": 3,
        "device": "cpu",
        "threads": 1,
    }
)
CONFIG = {"lr": 0.003, "batch_size": 256}


class Killed(Exception):
    pass


class FakeTune:
    """What a trainable uses of ``ray.tune``, in this process."""

    def __init__(self, folder):
        self.folder, self.reports, self.kill_after, self.checkpoint = folder, [], None, None

    def get_context(self):
        return self

    def get_trial_id(self):
        return "ab12c_00003"

    def get_trial_dir(self):
        return "/results/trainable_ab12c_00003_3_lr=0.1"

    def get_checkpoint(self):
        return self.checkpoint

    def report(self, metrics, *, checkpoint=None):
        self.reports.append(metrics)
        if checkpoint is not None:
            kept = self.folder / str(metrics["step"])
            shutil.copytree(checkpoint.path, kept, dirs_exist_ok=True)
            self.checkpoint = ray_trainable.tune.Checkpoint.from_directory(str(kept))
        if self.kill_after is not None and metrics.get("step") == self.kill_after:
            raise Killed


@pytest.fixture
def tune(tmp_path, monkeypatch):
    fake = FakeTune(tmp_path)
    for name in ("get_context", "get_checkpoint", "report"):
        monkeypatch.setattr(ray_trainable.tune, name, getattr(fake, name))
    return fake


def run_until(tune, step, config=CONFIG, base=BASE):
    tune.kill_after = step
    trainable = as_ray_trainable(Classification(base, SPACE), SPACE, seed=7)
    if step is None:
        trainable(config)
        return
    with pytest.raises(Killed):
        trainable(config)


def plain(**more):
    return train(
        config := BASE.override(
            {"optim.lr": 0.003, "batch_size": 256, "seed": trial_seed(7, 3), **more}
        ),
        load(config.data),
    )


def test_one_that_is_killed_resumes_to_the_same_result(tune):
    run_until(tune, 1)
    run_until(tune, 2)
    run_until(tune, None)
    assert [one["step"] for one in tune.reports] == [1, 2, 3]
    assert {**plain().metrics, "step": 3} == tune.reports[-1]


def test_a_copy_with_other_settings_is_one_training(tune):
    run_until(tune, 1)
    run_until(tune, 2, {**CONFIG, "lr": 0.01})
    run_until(tune, None, {**CONFIG, "lr": 0.02})
    kept = json.loads((tune.folder / "3" / "training.json").read_text())
    changes = [{"epoch": 1, "optim.lr": 0.01}, {"epoch": 2, "optim.lr": 0.02}]
    assert kept["changes"] == changes
    assert {**plain(changes=changes).metrics, "step": 3} == tune.reports[-1]


def test_a_copy_of_a_training_that_has_ended_ends(tune):
    run_until(tune, None)
    run_until(tune, None, {**CONFIG, "lr": 0.01})
    assert [one["step"] for one in tune.reports] == [1, 2, 3]


def test_what_cannot_change_midway_is_refused(tune):
    run_until(tune, 1)
    with pytest.raises(UserError, match="batch_size"):
        run_until(tune, None, {**CONFIG, "batch_size": 128})


def test_a_change_within_an_epoch_is_refused(tune):
    base = BASE.override({"reports_per_epoch": 2})
    run_until(tune, 1, base=base)
    with pytest.raises(UserError, match="perturbation_interval"):
        run_until(tune, None, {**CONFIG, "lr": 0.01}, base=base)


def test_a_function_that_never_reports(tune):
    as_ray_trainable(lambda params, seed: params["lr"], SPACE, seed=7, metric="score")(CONFIG)
    assert tune.reports == [{"score": 0.003}]


def test_a_function_that_reports(tune):
    def objective(params, *, seed, report):
        assert seed == trial_seed(7, 3)
        report(1, 0.5)
        return 0.5

    as_ray_trainable(objective, SPACE, seed=7, metric="score")(CONFIG)
    assert tune.reports == [{"score": 0.5, "step": 1}]


@pytest.mark.parametrize(
    ("trial_id", "folder", "number"),
    [
        ("ab12c_00003", "trainable_ab12c_00003_3_lr=0.1_2026-11-30", 3),
        ("a1b2c3d4", "trainable_a1b2c3d4_7_lr=0.1_2026-11-30", 7),
        ("12345678", "trainable_12345678_12", 12),
    ],
)
def test_a_trials_number_is_not_its_random_name(trial_id, folder, number):
    assert ray_trainable._number(trial_id, f"/results/{folder}") == number


def test_trials_in_folders_of_other_names_have_different_numbers():
    assert ray_trainable._number("a1b2c3d4", "/x/one") != ray_trainable._number(
        "a1b2c3d5", "/x/two"
    )
