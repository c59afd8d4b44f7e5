"""Steps, states and resumes on a fake GPU: one device, and nothing that waits for it."""

import itertools
from dataclasses import replace

import pytest
import torch
from fake_gpu import GPU, FakeGpu, fake_gpu

from mnist_core import models, optim
from mnist_core.trainer.training import Training

MODELS = models.names()
OPTIMIZERS = tuple(optim.OPTIMIZERS)
ONE_STEP = {"precision": "bf16", "batch_size": 64}
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp64")
SCALED = ("sgd", "momentum", "nesterov", "adam", "adamw", "adagrad")
"""Optimizers whose step takes the scale of fp16 itself; for the others torch looks at it first."""


def steps(training: Training, gpu: FakeGpu) -> list[str]:
    """Train the rest of the epoch; return what waited for the GPU after the epoch's first draw."""
    groups = training._rest_of_epoch()
    first = next(groups)
    gpu.watch.waits.clear()
    for group in itertools.chain([first], groups):
        training._step(group)
    return list(gpu.watch.waits)


def devices(training: Training) -> dict[tuple[int, str], torch.device]:
    """Return where each tensor of the optimizer's state lies."""
    held = training.optimizer.state_dict()["state"]
    return {
        (number, name): value.device
        for number, named in held.items()
        for name, value in named.items()
        if isinstance(value, torch.Tensor)
    }


def expected(training: Training) -> list[str]:
    """Return what must wait: torch itself looks whether fp16 overflowed, unless it is fused."""
    config = training.config
    fused = config.optim.name in SCALED and not training.optimizer.defaults.get("foreach")
    waits = config.precision == "fp16" and not fused
    return ["aten::_local_scalar_dense"] * training.steps_per_epoch if waits else []


def go_through(gpu: FakeGpu, **changes: object) -> None:
    """An epoch, its state through a file's tensors into another training, and an epoch there."""
    changes = ONE_STEP | changes
    training = gpu.training(**changes)
    waits = expected(training)
    assert steps(training, gpu) == waits
    training.history.append({"step": 1, "epoch": 1.0, "seconds": 1.0})
    state = training._state()
    on_disk = {
        group: {name: value.detach().cpu() for name, value in named.items()}
        for group, named in state.tensors.items()
    }
    again = gpu.training(**changes)
    again._restore(replace(state, tensors=on_disk))
    assert devices(again) == devices(training)
    assert all(p.device == GPU for p in again.model.parameters())
    assert steps(again, gpu) == waits


@pytest.fixture(scope="module")
def gpu():
    with fake_gpu() as made:
        yield made


@pytest.mark.parametrize("model", MODELS)
def test_every_model(gpu, model):
    """Steps alone: what a state holds depends on the optimizer."""
    assert steps(gpu.training(**ONE_STEP, model__name=model, optim__name="sgd"), gpu) == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(gpu, optimizer):
    go_through(gpu, model__name="mlp512", precision="fp32", optim__name=optimizer)


@pytest.mark.parametrize(
    ("optimizer", "precision"), [*(("adamw", p) for p in PRECISIONS), ("rmsprop", "fp16")]
)
def test_every_precision(gpu, precision, optimizer):
    go_through(gpu, model__name="mlp512", precision=precision, optim__name=optimizer)


@pytest.mark.parametrize(
    "changes",
    [
        {"grad_clip": 1.0, "batch_size": 32, "accumulate": 2, "label_smoothing": 0.1},
        {"loss__name": "focal"},
        {"model__name": "siamese", "loss__name": "contrastive"},
        {"model__name": "siamese", "loss__name": "triplet"},
        {"model__name": "siamese", "loss__name": "supcon"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_kind_of_step(gpu, changes):
    assert steps(gpu.training(**{**ONE_STEP, "model__name": "mlp512", **changes}), gpu) == []


@pytest.mark.long
@pytest.mark.parametrize(("number", "model"), [*enumerate(MODELS)])
@pytest.mark.parametrize(("turn", "optimizer"), [*enumerate(OPTIMIZERS)])
def test_every_pair_of_them(gpu, number, model, turn, optimizer):
    """Precisions in turn: each goes with each model, and with each optimizer."""
    precision = PRECISIONS[(number + turn) % len(PRECISIONS)]
    go_through(gpu, model__name=model, optim__name=optimizer, precision=precision)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optim__name": "momentum", "grad_clip": 1.0},
        {"optim__name": "sgd", "schedule__name": "one_cycle"},
        {"augment__shift": 0.1, "augment__erase_p": 0.5, "augment__elastic": 1.0},
        # Not an average: its deep copy of a fake model writes to memory that is not there.
        {"label_smoothing": 0.1},
        {"optim__name": "rmsprop"},
        {"optim__name": "muon"},
        {"model__name": "siamese", "precision": "fp32"},
        {"model__name": "cnn", "precision": "tf32"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_epochs_of_a_graph_wait_for_nothing(gpu, changes):
    """The recording included: all that is launched between an epoch's draw and its end."""
    settings = {"model__name": "mlp512", "precision": "bf16", "optim__name": "adamw", **changes}
    training = gpu.training(**settings, cuda_graph=True)
    gpu.replays.clear()
    for _ in range(3):
        assert steps(training, gpu) == []
    assert training.step == len(gpu.replays) == 6
    assert len({id(graph) for graph in gpu.replays}) == 1


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("model", ["mlp512", "siamese"])
def test_an_epoch_waits_once_for_its_order(gpu, model, graph):
    training = gpu.training(model__name=model, precision="fp32", cuda_graph=graph)
    for _ in range(2):
        gpu.watch.waits.clear()
        for group in training._rest_of_epoch():
            training._step(group)
        assert gpu.watch.waits == ["aten::_to_copy"]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    "wait",
    [
        lambda loss: loss.item(),
        lambda loss: loss if loss > 0 else -loss,
        lambda loss: loss.detach().cpu(),
        lambda loss: loss * torch.tensor(2.0).to(GPU),
        lambda loss: torch.zeros(()).copy_(loss.detach()),
    ],
    ids=["item", "if", "download", "upload", "copy"],
)
def test_a_step_that_waits_is_found(gpu, wait, graph):
    training = gpu.training(model__name="mlp512", precision="fp32", cuda_graph=graph)
    of_task = training.task.loss

    def loss(*arguments):
        found = of_task(*arguments)
        wait(found)
        return found

    training.task.loss = loss
    # A recording runs the step four times, and each replay runs nothing that it did not hold.
    assert len(steps(training, gpu)) == (4 if graph else training.steps_per_epoch)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_mixed_devices_are_found(gpu, optimizer):
    """The state of a fused and of another step, on the CPU."""
    training = gpu.training(model__name="mlp512", precision="fp32", optim__name=optimizer)
    steps(training, gpu)
    for named in training.optimizer.state.values():
        for name, value in named.items():
            if value.ndim:
                named[name] = value.cpu()
    with pytest.raises(RuntimeError, match="device"):
        steps(training, gpu)


def test_a_batch_elsewhere_is_found(gpu):
    training = gpu.training(model__name="mlp512", precision="fp32")
    batch = (torch.empty(32, 1, 28, 28), torch.empty(32, dtype=torch.int64))
    training.task.batch = lambda chosen: batch
    with pytest.raises(RuntimeError, match="device"):
        training._step([torch.zeros(32, dtype=torch.int64, device=GPU)])
