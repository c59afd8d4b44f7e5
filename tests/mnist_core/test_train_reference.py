"""Our loop against a plain torch loop in fp32: the same weights after k steps.

The plain loop shares three things with ours: the seeds of weights, order and augmentation (through
``stream_seed``) and, for cnn's dropout, the number of draws from torch's generator. All the rest is
written as people write it: torchvision's transforms, contiguous memory, torch's optimizers step by
step as shipped, torch's schedulers.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torchvision.transforms import Compose, Normalize, ToTensor

from mnist_core import models
from mnist_core.batches.augment import augment
from mnist_core.batches.batches import stream_seed
from mnist_core.optim import OPTIMIZERS as ALL
from mnist_core.train import train

OPTIMIZERS = tuple(name for name in ALL if name != "muon")
"""muon computes in bf16, so other layouts of memory differ visibly; see test_muon.py."""

TORCH = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, betas=(0.8, 0.99), weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.001, eps=1e-6, weight_decay=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.001, eps=1e-6),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.0005, alpha=0.9, momentum=0.5, eps=1e-5),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.5, rho=0.8, weight_decay=0.001),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.005, weight_decay=0.01, eps=1e-8),
}
OURS = {
    "sgd": {"lr": 0.05},
    "momentum": {"lr": 0.02, "weight_decay": 0.01},
    "nesterov": {"lr": 0.02, "momentum": 0.8},
    "adam": {"lr": 0.001, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01},
    "adamw": {"lr": 0.001, "eps": 1e-6, "weight_decay": 0.1},
    "nadam": {"lr": 0.001, "eps": 1e-6},
    "rmsprop": {"lr": 0.0005, "alpha": 0.9, "momentum": 0.5, "eps": 1e-5},
    "adadelta": {"lr": 0.5, "rho": 0.8, "weight_decay": 0.001},
    "adagrad": {"lr": 0.005, "weight_decay": 0.01, "eps": 1e-8},
}


def tensors(split):
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    return torch.stack([transform(image.numpy()) for image in split.images]), split.labels


class Plain:
    """The plain loop; after it: ``model``, ``start`` (the first weights) and ``losses``."""

    def __init__(
        self,
        config,
        data,
        optimizer,
        *,
        scheduler=None,
        by_epoch=False,
        layout=torch.preserve_format,
    ):
        torch.manual_seed(stream_seed(config.seed, "model"))
        self.model = models.build(config.model, data.n_classes).to(memory_format=layout)
        dtype = torch.float64 if config.precision == "fp64" else torch.float32
        self.model = self.model.to(dtype)
        self.start = copy.deepcopy(self.model)
        self.losses = []  # summed over the images of an epoch, then divided
        optimizer = optimizer(self.model.parameters())
        images, labels = tensors(data.train)
        images = images.to(dtype)
        n, size = len(labels), config.batch_size
        steps = -(-n // size)
        schedule = scheduler(optimizer, steps) if scheduler else None
        order = torch.Generator().manual_seed(stream_seed(config.seed, "order"))
        changes = torch.Generator().manual_seed(stream_seed(config.seed, "augment"))
        for _ in range(config.epochs):
            total = 0.0
            for chosen in torch.randperm(n, generator=order).split(size):
                batch = images[chosen]
                if config.augment.active:
                    # Not the raw pixels but normalised ones, moved so that the ground is 0.
                    ground = -0.1307 / 0.3081
                    batch = augment(batch - ground, config.augment, changes) + ground
                optimizer.zero_grad()
                loss = functional.cross_entropy(
                    self.model(batch),
                    labels[chosen],
                    label_smoothing=config.label_smoothing,
                )
                loss.backward()
                if config.grad_clip:
                    nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
                optimizer.step()
                total += loss.item() * len(chosen)
                if schedule and not by_epoch:
                    schedule.step()
            if schedule and by_epoch:
                schedule.step()
            self.losses.append(total / n)


def distance(ours, plain):
    """How far our weights are from the plain ones, as a share of the way that they came."""
    pairs = zip(ours.parameters(), plain.model.parameters(), strict=True)
    apart = sum((a - b).double().square().sum().item() for a, b in pairs)
    pairs = zip(plain.model.parameters(), plain.start.parameters(), strict=True)
    way = sum((a - b).double().square().sum().item() for a, b in pairs)
    return (apart / way) ** 0.5


TOLERANCE = 2e-3
"""Share of the way. Mostly it is 1e-6, but a unit at the brink of ReLU may flip elsewhere."""


def same(result, plain, data):
    assert distance(result.model, plain) < TOLERANCE
    losses = [entry["train_loss"] for entry in result.history]
    assert losses == pytest.approx(plain.losses, rel=1e-4)
    dtype = next(plain.model.parameters()).dtype
    logits = plain.model.eval()(tensors(data.validation)[0].to(dtype))
    loss = functional.cross_entropy(logits, data.validation.labels).item()
    assert result.metrics["val_loss"] == pytest.approx(loss, rel=1e-3)


@pytest.fixture
def settings(config):
    def build(name="sgd", **changes):
        chosen = {f"optim__{key}": value for key, value in OURS[name].items()}
        return config(optim__name=name, **chosen | {"seed": 11, "batch_size": 64} | changes)

    return build


def test_one_step(few, settings):
    """Whatever the optimizer, the first step of sgd is minus lr times torch's gradient."""
    one = settings(batch_size=300)
    result, plain = train(one, few), Plain(one, few, TORCH["sgd"])
    for ours, theirs, start in zip(
        result.model.parameters(), plain.model.parameters(), plain.start.parameters(), strict=True
    ):
        assert not torch.equal(ours, start)
        torch.testing.assert_close(ours - start, theirs - start, rtol=1e-4, atol=1e-7)
    assert result.images == 300


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(few, settings, name):
    """Five steps, the last with 44 of 64 images.

    In fp64: in fp32 a unit at the brink of ReLU flips on some processors, and nadam shows it.
    """
    assert set(TORCH) == set(OPTIMIZERS)
    some = settings(name, precision="fp64", model__name="lenet5")
    same(train(some, few), Plain(some, few, TORCH[name]), few)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_as_torch_ships_it(few, settings, name):
    """With nothing set, both take torch's defaults; momentum's is the 0.9 that the name says."""
    kind = type(TORCH[name]([nn.Parameter(torch.zeros(1))]))
    options = {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}
    nothing = {f"optim__{key}": None for key in OURS[name]}
    some = settings(name, **nothing, model__name="mlp512")
    same(train(some, few), Plain(some, few, lambda p: kind(p, **options.get(name, {}))), few)


def test_three_epochs_have_three_orders(few, settings):
    some = settings("adam", epochs=3, model__name="mlp512")
    plain = Plain(some, few, TORCH["adam"])
    assert len(plain.losses) == 3
    same(train(some, few), plain, few)


@pytest.mark.parametrize("name", ["net_sigmoid", "net_deep", "mlp512", "lenet5"])
def test_every_model(few, settings, name):
    some = settings("adam", model__name=name, epochs=2)
    same(train(some, few), Plain(some, few, TORCH["adam"]), few)


def test_dropout(few, settings):
    """Masks are drawn in the order of memory, so here the plain loop is channels-last as well."""
    some = settings("momentum", model__name="cnn")
    plain = Plain(some, few, TORCH["momentum"], layout=torch.channels_last)
    same(train(some, few), plain, few)


@pytest.mark.parametrize("norm", [0.05, 0.5])
def test_gradient_clipping(few, settings, norm):
    clipped = settings("momentum", grad_clip=norm)
    plain = Plain(clipped, few, TORCH["momentum"])
    same(train(clipped, few), plain, few)
    assert distance(train(settings("momentum"), few).model, plain) > 0.01


def test_label_smoothing(few, settings):
    smooth = settings("momentum", label_smoothing=0.2)
    plain = Plain(smooth, few, TORCH["momentum"])
    # val_loss is plain cross-entropy all the same: `same` compares it with torch's.
    same(train(smooth, few), plain, few)
    assert distance(train(settings("momentum"), few).model, plain) > 0.01


def test_augmentation(few, settings):
    changed = settings("adam", augment__shift=0.1, augment__rotate=10, augment__scale=0.1)
    plain = Plain(changed, few, TORCH["adam"])
    same(train(changed, few), plain, few)
    assert distance(train(settings("adam"), few).model, plain) > 0.01


SCHEDULERS = {
    "step": lambda o, per_epoch: lr_scheduler.StepLR(o, 1, 0.5),
    "cosine": lambda o, per_epoch: lr_scheduler.CosineAnnealingLR(o, 3 * per_epoch, eta_min=0.005),
    "one_cycle": lambda o, per_epoch: lr_scheduler.OneCycleLR(
        o, 0.05, total_steps=3 * per_epoch, cycle_momentum=False
    ),
    "warmup": lambda o, per_epoch: lr_scheduler.LinearLR(o, 1 / 6, total_iters=5),
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("step", {"schedule__name": "step", "schedule__gamma": 0.5}),
        ("cosine", {"schedule__name": "cosine", "schedule__final": 0.1}),
        ("one_cycle", {"schedule__name": "one_cycle"}),
        ("warmup", {"schedule__warmup": 0.4}),
    ],
)
def test_schedules(few, settings, name, changes):
    """Three epochs of five steps, sgd with lr 0.05."""
    scheduled = settings(epochs=3, model__name="mlp512", **changes)
    plain = Plain(scheduled, few, TORCH["sgd"], scheduler=SCHEDULERS[name], by_epoch=name == "step")
    same(train(scheduled, few), plain, few)
    constant = train(settings(epochs=3, model__name="mlp512"), few)
    assert distance(constant.model, plain) > 0.01


def test_the_comparison_sees_small_differences(few, settings):
    """The tolerance is a fraction of what one per cent of the learning rate makes."""
    plain = Plain(settings(), few, TORCH["sgd"])
    other = train(settings(optim__lr=0.05 * 1.01), few)
    assert distance(other.model, plain) > 4 * TOLERANCE


def test_batch_size_of_more_than_there_is(few, settings):
    big = settings(batch_size=1_000)
    result = train(big, few)
    same(result, Plain(big, few, TORCH["sgd"]), few)
    assert (len(result.history), result.images) == (1, 300)
