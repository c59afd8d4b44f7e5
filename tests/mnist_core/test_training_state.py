"""A training that is killed and goes on gives the same result, bit for bit."""

import pytest
import torch
from torch import nn

from mnist_core.errors import CheckpointError
from mnist_core.optim import OPTIMIZERS
from mnist_core.train import StopTraining, train
from mnist_core.trainer import training_state

CASES = {
    **{name: {"optim__name": name} for name in OPTIMIZERS},
    **{f"{name}, fp64": {"optim__name": name, "precision": "fp64"} for name in OPTIMIZERS},
    "dropout": {"model__name": "cnn"},
    "augmentation": {"augment__shift": 0.1, "augment__elastic": 1.0, "augment__blur_p": 0.5},
    "batch norm": {"model__name": "flex_cnn", "model__width": 8},
    "ema": {"average__name": "ema", "model__name": "flex_cnn", "model__width": 8},
    "swa": {"average__name": "swa", "average__start": 0.2},
    "plateau": {"schedule__name": "plateau", "schedule__patience": 0, "optim__lr": 0.01},
    "early stopping": {"early_stopping": 4, "optim__lr": 0.02},
    "accumulation": {"accumulate": 2},
    "fp16": {"precision": "fp16", "model__name": "mlp512"},
    "pairs": {"model__name": "siamese", "pairs__per_epoch": 100, "model__width": 4},
}
SMALL = {"model__name": "mlp512"}
LONG = {f"{name}, fp64" for name in OPTIMIZERS} - {"adam, fp64"}


class Killed(BaseException):
    """Stands for kill -9."""


def killed_at(report):
    def call(step, metrics):
        torch.rand(3)  # whatever a report draws
        if step == report:
            raise Killed

    return call


def without_seconds(history):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in history]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in CASES],
)
def test_resumed_equals_uninterrupted(very_few, config, tmp_path, name):
    """Killed after an epoch and in the middle of one."""
    some = config(model__name="lenet5", epochs=3, reports_per_epoch=2, batch_size=25)
    some = some.override({"schedule.name": "one_cycle"})
    changes = {key.replace("__", "."): value for key, value in CASES[name].items()}
    some = some.override(changes)
    whole = train(some, very_few)
    file = tmp_path / "folder" / "state.safetensors"
    for report in (2, 3):
        with pytest.raises(Killed):
            train(some, very_few, killed_at(report), state_file=file)
        assert file.exists()
    seen = []
    resumed = train(some, very_few, lambda step, metrics: seen.append(step), state_file=file)
    assert seen[0] == 4
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    assert (resumed.metrics, resumed.images) == (whole.metrics, whole.images)
    assert resumed.confusion == whole.confusion
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    assert not file.exists()


def test_killed_when_early_stopping_had_decided(few, config, tmp_path):
    """The state is written, the training is to end, and its last report never returns."""
    some = config(optim__lr=0.02, epochs=30, early_stopping=3, seed=3, **SMALL)
    whole = train(some, few)
    assert whole.stopped_early
    file = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train(some, few, killed_at(len(whole.history)), state_file=file)
    resumed = train(some, few, state_file=file)
    assert resumed.stopped_early
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    assert (resumed.metrics, resumed.confusion) == (whole.metrics, whole.confusion)


def test_numbers_of_an_optimizer_stay_on_the_host():
    """Else each step would wait for the device, which ``meta`` stands for."""
    parameter = nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = torch.optim.NAdam([parameter])
    averages = {"0.exp_avg": torch.ones(3), "0.exp_avg_sq": torch.ones(3)}
    numbers = {"0.step": torch.tensor(4.0), "0.mu_product": torch.tensor(0.5)}
    training_state.restore_optimizer(optimizer, averages | numbers)
    state = optimizer.state[parameter]
    assert (state["mu_product"].device.type, state["mu_product"].item()) == ("cpu", 0.5)
    assert state["exp_avg"].device.type == "meta"


def test_a_pruned_training_leaves_no_state(few, config, tmp_path):
    def stop(step, metrics):
        raise StopTraining

    file = tmp_path / "state.safetensors"
    assert train(config(epochs=3), few, stop, state_file=file).stopped
    assert not file.exists()


def test_the_state_of_another_training_is_refused(few, config, digits, tmp_path, refusal):
    file = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train(config(epochs=3, **SMALL), few, killed_at(1), state_file=file)
    for changed, named in (
        ({"epochs": 4}, "epochs: 3 -> 4"),
        ({"epochs": 3, "seed": 5}, "seed: 0 -> 5"),
    ):
        assert named in refusal(
            CheckpointError, train, config(**changed, **SMALL), few, state_file=file
        )
    message = refusal(CheckpointError, train, config(epochs=3, **SMALL), digits, state_file=file)
    assert "data: " in message
    elsewhere = config(epochs=3, threads=2, **SMALL)
    assert train(elsewhere, few, state_file=file).history[0]["step"] == 1


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_state_is_refused(few, config, tmp_path, refusal, damage):
    file = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        train(config(epochs=3, **SMALL), few, killed_at(1), state_file=file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    message = refusal(CheckpointError, train, config(epochs=3, **SMALL), few, state_file=file)
    assert str(file) in message
