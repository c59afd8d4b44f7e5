"""Settings that change midway: what may, when, and that a training with changes is one training."""

import shutil

import pytest
import torch
from test_training_state import Killed, killed_at, without_seconds

from mnist_core.config import TrainConfig
from mnist_core.errors import CheckpointError, ConfigError
from mnist_core.optim import OPTIMIZERS
from mnist_core.table import parse_assignment
from mnist_core.train import resolve, train
from mnist_core.trainer import training_state

LATER = [
    {"epoch": 1, "optim.lr": 0.01, "label_smoothing": 0.1},
    {"epoch": 2, "optim.lr": 0.002, "augment.shift": 0.1, "grad_clip": 0.5},
    {"epoch": 3, "augment.shift": 0.0},
]
SMALL = {"model__name": "lenet5", "batch_size": 25}


@pytest.fixture
def changing(config):
    return config(epochs=4, reports_per_epoch=2, **SMALL).override({"changes": LATER})


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def state_of(config, few, report, file):
    """Train to ``report`` and leave the state in ``file``."""
    with pytest.raises(Killed):
        train(config, few, killed_at(report), state_file=file)


def test_nested_dotted_and_on_the_command_line_are_the_same():
    key, value = parse_assignment("changes=[{epoch = 3, optim.lr = 0.01, augment.shift = 0.1}]")
    one = TrainConfig().override({key: value})
    nested = [{"epoch": 3, "optim": {"lr": 0.01}, "augment": {"shift": 0.1}}]
    assert one == TrainConfig.from_mapping({"changes": nested}, source="x")
    assert TrainConfig.from_mapping(one.to_dict(), source="x") == one
    assert one.to_dict()["changes"] == [{"epoch": 3, "augment.shift": 0.1, "optim.lr": 0.01}]
    assert "changes" not in TrainConfig().to_dict()
    assert len({one, TrainConfig()}) == 2  # hashable


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"epoch": 5, "optim.lr": 0.1}], "changes: one is to come after 5 epochs, but"),
        ([{"epoch": 0, "optim.lr": 0.1}], "changes.0.epoch: input should be greater"),
        ([{"epoch": 2, "optim.lr": 0.1}] * 2, "changes: epochs must rise, but 2 comes after 2"),
        ([{"epoch": 2, "model.width": 4}], "changes.0.settings: unknown setting 'model.width'"),
        ([{"epoch": 2, "optim.lrr": 4}], "did you mean 'optim.lr'?"),
        ([{"epoch": 2, "optim.lr": -1.0}], "changes (epoch 2): optim.lr: input should be greater"),
        ([{"epoch": 2, "optim.lr": "x"}], "input should be a valid number, but got 'x'"),
        ([{"epoch": 2}], "changes.0.settings: tuple should have at least 1 item"),
        ([{"optim.lr": 0.1}], "changes.0.epoch: field required"),
        (3, "changes: input should be a valid tuple, but got 3"),
    ],
)
def test_mistakes_are_one_line(refusal, given, said):
    assert said in refusal(ConfigError, TrainConfig().override, {"changes": given})


def test_what_the_optimizer_or_the_loss_has_not_is_refused_before_the_training(config, refusal):
    adam = config(epochs=3).override({"changes": [{"epoch": 1, "optim.momentum": 0.5}]})
    assert "optim.momentum: 'adam' has no momentum" in refusal(ConfigError, resolve, adam)
    focal = {"loss.name": "focal", "changes": [{"epoch": 1, "label_smoothing": 0.5}]}
    assert "label_smoothing" in refusal(ConfigError, resolve, config(epochs=3).override(focal))


def test_in_force(changing):
    seen = [changing.in_force(epochs) for epochs in range(5)]
    assert [c.optim.lr for c in seen] == [changing.optim.lr, 0.01, 0.002, 0.002, 0.002]
    assert [c.augment.shift for c in seen] == [0.0, 0.0, 0.1, 0.0, 0.0]
    assert all(not c.changes for c in seen)
    assert changing.stages() == seen[:4]


def test_before_its_first_change_a_training_is_the_plain_one_and_then_another(few, config):
    plain = train(config(epochs=3), few)
    late = config(epochs=3).override({"changes": [{"epoch": 2, "optim.lr": 0.1}]})
    changed = train(late, few)
    assert without_seconds(changed.history)[:2] == without_seconds(plain.history)[:2]
    assert changed.history[2]["train_loss"] != plain.history[2]["train_loss"]
    same = config(epochs=3)
    same = same.override({"changes": [{"epoch": 2, "optim.lr": resolve(same).optim.lr}]})
    assert torch.equal(weights(train(same, few).model), weights(plain.model))


def test_a_change_is_what_torch_does_when_its_groups_are_changed(few, config):
    """The same steps by hand: the rate and the decay of an SGD with momentum, after one epoch."""
    some = config(epochs=2, batch_size=50, precision="fp32", optim__name="momentum")
    some = some.override({"optim.lr": 0.05})
    later = {"epoch": 1, "optim.lr": 0.01, "optim.weight_decay": 0.1, "optim.momentum": 0.5}
    ours = train(some.override({"changes": [later]}), few)

    from mnist_core import models, tasks
    from mnist_core.batches.batches import stream_seed
    from mnist_core.device.runtime import resolve as machine_of
    from mnist_core.device.runtime import session

    resolved = resolve(some)
    machine = machine_of(resolved)
    with session(machine, deterministic=False):
        torch.manual_seed(stream_seed(some.seed, "model"))
        model = machine.place(models.build(resolved.model, few.n_classes))
        task = tasks.create(resolved, few, machine)
        sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
        for _ in range(2):
            for inputs, targets in task.epoch():
                sgd.zero_grad()
                task.loss(model, inputs, targets).backward()
                sgd.step()
            sgd.param_groups[0].update(lr=0.01, weight_decay=0.1, momentum=0.5)
    torch.testing.assert_close(weights(ours.model), weights(model), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "pairs", "plateau"])
def test_resumed_equals_uninterrupted_wherever_it_was_killed(very_few, config, tmp_path, name):
    some = config(epochs=4, reports_per_epoch=2, **SMALL).override({"changes": LATER})
    if name == "pairs":
        some = some.override({"model.name": "siamese", "pairs.per_epoch": 100, "model.width": 4})
    elif name == "plateau":
        some = some.override({"schedule.name": name, "schedule.patience": 0})
    else:
        some = some.override({"optim.name": name})
    whole = train(some, very_few)
    file = tmp_path / "state.safetensors"
    for report in range(1, 8):
        state_of(some, very_few, report, file)
    resumed = train(some, very_few, state_file=file)
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    assert torch.equal(weights(resumed.model), weights(whole.model))


def test_another_training_goes_on_from_a_state_with_changes_of_its_own(
    very_few, changing, tmp_path
):
    """What copies a training: the state is taken, the next change is another, the past is kept."""
    theirs, mine = tmp_path / "theirs.safetensors", tmp_path / "mine.safetensors"
    state_of(changing, very_few, 4, theirs)  # two epochs are over
    shutil.copyfile(theirs, mine)
    other = {"epoch": 2, "optim.lr": 0.03, "augment.rotate": 5.0}
    mixed = changing.override({"changes": [LATER[0], other]})
    went_on = train(mixed, very_few, state_file=mine)
    whole = train(mixed, very_few)
    assert without_seconds(went_on.history) == without_seconds(whole.history)
    assert torch.equal(weights(went_on.model), weights(whole.model))


def test_the_past_of_a_state_must_be_the_same(very_few, changing, tmp_path, refusal):
    file = tmp_path / "state.safetensors"
    state_of(changing, very_few, 5, file)  # in the middle of the third epoch
    state = training_state.read(file, resolve(changing), very_few.fingerprint)
    assert state is not None
    assert 2 < state.values["history"][-1]["epoch"] < 3
    for past in (
        [],
        LATER[:1],
        [{**LATER[0], "optim.lr": 0.5}, LATER[1]],
        [LATER[0], {**LATER[1], "optim.lr": 0.5}],
        [LATER[0], {**LATER[1], "epoch": 3}],
    ):
        other = changing.override({"changes": past})
        message = refusal(CheckpointError, train, other, very_few, state_file=file)
        assert "another training (changes: " in message
    ahead = changing.override({"changes": [*LATER[:2], {"epoch": 3, "optim.lr": 0.5}]})
    assert train(ahead, very_few, state_file=file).history[-1]["epoch"] == 4
