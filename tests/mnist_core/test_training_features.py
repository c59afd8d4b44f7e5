"""What surrounds a step: averages, plateau, early stopping, precisions, accumulation, losses."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import swa_utils

from mnist_core import models, tasks
from mnist_core.config import AverageConfig, ModelConfig, ScheduleConfig
from mnist_core.data import Split
from mnist_core.device.runtime import resolve as resolve_runtime
from mnist_core.errors import ConfigError
from mnist_core.losses import focal
from mnist_core.train import TrainingFailed, resolve, train
from mnist_core.trainer import averaging
from mnist_core.trainer.schedules import Plateau
from mnist_core.trainer.training import Training

SMALL = {"model__name": "flex_cnn", "model__depth": 2, "model__width": 8, "model__head_width": 16}


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("min_lr", [0.0, 0.02])
def test_plateau_is_that_of_torch(patience, min_lr):
    lr = 0.3
    config = ScheduleConfig(name="plateau", factor=0.5, patience=patience, min_lr=min_lr)
    ours = Plateau(config, lr)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, min_lr=min_lr, eps=0
    )
    generator = torch.Generator().manual_seed(0)
    for n in range(40):
        loss = 1 / (n + 1) + torch.rand((), generator=generator).item() * (n > 5)
        ours.report(loss)
        theirs.step(loss)
        assert lr * ours.factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_other_schedules_have_no_plateau():
    plateau = Plateau(ScheduleConfig(name="cosine"), 0.1)
    for _ in range(20):
        plateau.report(1.0)
    assert plateau.factor == 1.0


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averages_are_those_of_torch(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    ours = averaging.Average(AverageConfig(name=name, decay=0.9, start=0.0), model)
    rule = swa_utils.get_ema_multi_avg_fn(0.9) if name == "ema" else None
    theirs = swa_utils.AveragedModel(model, multi_avg_fn=rule)
    for n in range(7):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.step()
        ours.report((n + 1) / 7)
        theirs.update_parameters(model)
    torch.testing.assert_close(weights(ours.model), weights(theirs.module))
    batches = [torch.randn(8, 4) for _ in range(3)]
    ours.refresh_norms(iter(batches))
    swa_utils.update_bn(batches, theirs)
    torch.testing.assert_close(ours.model[1].running_mean, theirs.module[1].running_mean)
    torch.testing.assert_close(ours.model[1].running_var, theirs.module[1].running_var)
    assert ours.model[1].momentum == 0.1


@pytest.mark.parametrize("name", ["ema", "swa"])
@pytest.mark.parametrize("model", ["flex_cnn", "siamese"])
def test_the_averaged_model_is_the_scored_one(few, config, name, model):
    small = {"model__name": model, "model__width": 8, "epochs": 3, "pairs__per_epoch": 64}
    some = config(average__name=name, average__start=0.4, **small)
    result = train(some, few)
    machine = resolve_runtime(result.config)
    again = tasks.evaluate(result.model, few.validation, result.config, runtime=machine)
    assert again.metrics["accuracy"] == result.metrics["val_accuracy"]
    assert again.loss == pytest.approx(result.metrics["val_loss"], rel=1e-6)
    plain = train(config(**small), few)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(weights(result.model), weights(plain.model), strict=True)
    )


def sorted_by_class(data, n_train):
    """The first training images, in the order of their classes."""
    order = data.train.labels[:n_train].argsort(stable=True)
    train = Split(data.train.images[order], data.train.labels[order])
    return dataclasses.replace(data, train=train)


@pytest.mark.parametrize("n_train", [5000, 1001, 501])
def test_statistics_come_from_batches_of_all_classes(digits, config, n_train):
    """Though the images are sorted by class, and with none left over alone."""
    data = sorted_by_class(digits, n_train)
    state = torch.get_rng_state()
    for model in ("net", "siamese"):
        some = resolve(config(model__name=model))
        task = tasks.create(some, data, resolve_runtime(some))
        batches = list(task.images())
        shape = (1, 28, 28) if model == "net" else (2, 28, 28)
        assert {batch.shape[1:] for batch in batches} == {shape}
        sizes = [batch.shape[:-2].numel() for batch in batches]
        assert sum(sizes) == n_train - (n_train % 2 if model == "siamese" else 0)
        assert 240 < min(sizes) <= max(sizes) <= 500
        # Classes differ in their ink: the mean of a batch is that of all, for batches of all.
        means = torch.stack([batch.mean() for batch in batches])
        assert means.max() - means.min() < 0.1
        for first, again in zip(batches, task.images(), strict=True):
            assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_statistics_come_from_the_whole_data_set(digits, config):
    """Of 10,000 images sorted by class no class is left out."""
    images = digits.train.images.repeat(2, 1, 1)
    data = dataclasses.replace(digits, train=Split(images, digits.train.labels.repeat(2)))
    data = sorted_by_class(data, 10_000)
    marked = data.train.labels.to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous()
    data = dataclasses.replace(data, train=Split(marked, data.train.labels))
    some = resolve(config(model__name="net"))
    batches = list(tasks.create(some, data, resolve_runtime(some)).images())
    assert sum(map(len, batches)) == 5000
    assert all(len(batch[:, 0, 0, 0].unique()) == 10 for batch in batches)


def test_swa_begins_with_the_report_at_its_start(few, config):
    swa = train(config(average__name="swa", average__start=0.5, epochs=4), few)
    plain = train(config(epochs=4), few)
    # The mean of one is that one.
    same = [a["val_loss"] == b["val_loss"] for a, b in zip(swa.history, plain.history, strict=True)]
    assert same == [True, True, False, False]


def test_five_epochs_with_swa_from_the_fourth_are_a_mean_of_two():
    model = nn.Linear(4, 3)
    average = averaging.Average(AverageConfig(name="swa", start=0.8), model)
    for epoch in range(1, 6):
        average.report(epoch / 5)
    assert average.count == 2


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_batches_are_one_large_batch(few, config, parts):
    """Of 300 images: four steps of 75, or of 2 or 3 batches, the last of them smaller."""
    size = -(-75 // parts)
    large = config(batch_size=size * parts, precision="fp64", optim__name="momentum")
    small = config(batch_size=size, accumulate=parts, precision="fp64", optim__name="momentum")
    one, many = train(large, few), train(small, few)
    for a, b in zip(weights(one.model), weights(many.model), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert one.metrics["train_loss"] == pytest.approx(many.metrics["train_loss"], rel=1e-12)
    assert one.images == many.images == 300


def test_float64_is_float64_everywhere(few, config):
    result = train(config(precision="fp64", **SMALL), few)
    assert all(p.dtype is torch.float64 for p in result.model.parameters())
    single = train(config(precision="fp32", **SMALL), few)
    assert result.metrics["train_loss"] == pytest.approx(single.metrics["train_loss"], rel=1e-3)
    assert result.metrics["train_loss"] != single.metrics["train_loss"]


def test_fp16_trains_with_a_scaler(very_few, config):
    some = config(model__name="lenet5", epochs=3, optim__lr=0.003, batch_size=20)
    half, single = train(some.override({"precision": "fp16"}), very_few), train(some, very_few)
    assert all(p.dtype is torch.float32 for p in half.model.parameters())
    assert half.metrics["train_loss"] == pytest.approx(single.metrics["train_loss"], rel=0.05)


def test_clipping_sees_unscaled_gradients(very_few, config):
    """Else the scale of fp16, thousands, would be taken for the gradient's length."""
    some = config(optim__name="sgd", optim__lr=0.1, grad_clip=0.5, batch_size=20)
    some = some.override({"model.name": "mlp512"})
    half, single = train(some.override({"precision": "fp16"}), very_few), train(some, very_few)
    free = train(some.override({"grad_clip": 0.0}), very_few)
    apart = abs(half.metrics["train_loss"] - single.metrics["train_loss"])
    assert apart < 0.1 * abs(free.metrics["train_loss"] - single.metrics["train_loss"])


def test_tf32_needs_a_gpu(config, refusal):
    assert "tf32" in refusal(ConfigError, resolve, config(precision="tf32"))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_its_formula(gamma):
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 10, dtype=torch.float64) * 3, torch.randint(0, 10, (50,))
    p = logits.softmax(dim=1)[range(50), labels]
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    torch.testing.assert_close(focal(logits, labels, gamma=gamma), expected)
    if gamma == 0:
        torch.testing.assert_close(expected, functional.cross_entropy(logits, labels))


def test_focal_loss_has_a_gradient_where_the_model_is_sure():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 0]), gamma=0.5).backward()
    assert torch.isfinite(logits.grad).all()


def test_focal_loss_trains(few, config):
    result = train(config(loss__name="focal", epochs=3), few)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_early_stopping_serves_the_best_report(few, config):
    # A rate this high gets worse again.
    some = config(optim__lr=0.02, epochs=30, early_stopping=3, seed=3)
    result = train(some, few)
    accuracies = [entry["val_accuracy"] for entry in result.history]
    assert result.stopped_early and not result.stopped
    assert len(accuracies) < 30
    assert result.metrics["val_accuracy"] == max(accuracies)
    assert result.best.step == len(accuracies) - 3
    confusion = torch.tensor(result.confusion)
    assert confusion.trace().item() / confusion.sum().item() == max(accuracies)
    machine = resolve_runtime(result.config)
    again = tasks.evaluate(result.model, few.validation, result.config, runtime=machine)
    assert again.metrics["accuracy"] == max(accuracies)


def test_without_early_stopping_the_last_model_counts(few, config):
    result = train(config(optim__lr=0.02, epochs=6), few, keep_best=True)
    assert result.metrics["val_accuracy"] == result.history[-1]["val_accuracy"]
    best = max(result.history, key=lambda e: (e["val_accuracy"], -e["val_loss"]))
    assert result.best.step == best["step"]
    model = models.build(ModelConfig(name="net"), 10)
    model.load_state_dict(result.best.weights)
    machine = resolve_runtime(result.config)
    again = tasks.evaluate(machine.place(model), few.validation, result.config, runtime=machine)
    assert again.metrics["accuracy"] == best["val_accuracy"]


def test_balanced_accuracy_is_scikit_learns(few, config):
    from sklearn.metrics import balanced_accuracy_score

    result = train(config(epochs=2), few)
    machine = resolve_runtime(result.config)
    found = tasks.evaluate(result.model, few.validation, result.config, runtime=machine)
    expected = balanced_accuracy_score(few.validation.labels, found.predictions)
    assert found.metrics["balanced_accuracy"] == pytest.approx(expected)


def test_what_is_compiled_is_what_trains(very_few, config, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiled.append(model) or model)
    some = config(model__name="mlp512", compile=True)
    result = train(some, very_few)
    assert compiled == [result.model]
    assert result.metrics == train(some.override({"compile": False}), very_few).metrics


@pytest.mark.long
def test_compiled_equals_eager(few, config):
    some = config(model__name="mlp512", epochs=1, batch_size=100, optim__lr=1e-4)
    eager, compiled = train(some, few), train(some.override({"compile": True}), few)
    for a, b in zip(weights(eager.model), weights(compiled.model), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-4)
    assert compiled.metrics["train_loss"] == pytest.approx(eager.metrics["train_loss"], rel=1e-3)


def test_no_compiler_is_one_line(config, refusal, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "C++ compiler" in refusal(ConfigError, resolve, config(compile=True))


def test_a_named_compiler_that_is_not_there_is_one_line(config, refusal, monkeypatch, tmp_path):
    """torch takes what CXX names, even where g++ is there."""
    for named in ("no-such-g++", "ccache no-such-g++", str(tmp_path), "'", ""):
        monkeypatch.setenv("CXX", named)
        assert refusal(ConfigError, resolve, config(compile=True)).startswith("compile: CXX names")


def test_memory_does_not_grow(very_few, config):
    """Over 100 epochs of two steps, once everything has been used."""
    import psutil

    resident = []

    def note(step, metrics):
        resident.append(psutil.Process().memory_info().rss)

    some = config(model__name="lenet5", epochs=100, batch_size=50, average__name="ema")
    result = train(some, very_few, note)
    assert result.peak_memory >= max(resident[-50:]) * 0.9
    assert max(resident[80:]) - max(resident[20:40]) < 4 * 2**20


def test_the_average_does_not_disturb_the_training(few, config):
    plain = train(config(epochs=2, **SMALL), few)
    kept = {}
    original = averaging.Average.report

    def spy(self, share):
        kept["trained"] = copy.deepcopy(self._trained)
        original(self, share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(averaging.Average, "report", spy)
        train(config(epochs=2, average__name="ema", **SMALL), few)
    for a, b in zip(kept["trained"], plain.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert math.isfinite(plain.metrics["val_loss"])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError("Unable to allocate 2.00 GiB for an array"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"),
    ],
)
def test_memory_that_runs_out_has_a_type(few, config, monkeypatch, error):
    """What else says so is in test_device_errors.py."""

    def run(self, report, state_file, pace):
        raise error

    monkeypatch.setattr(Training, "run", run)
    with pytest.raises(TrainingFailed) as caught:
        train(config(), few)
    assert caught.value.kind == "OutOfMemory"
    assert str(caught.value) == str(error).splitlines()[0]


def test_other_errors_keep_their_type(few, config, monkeypatch):
    def run(self, report, state_file, pace):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Training, "run", run)
    with pytest.raises(RuntimeError, match="device-side assert"):
        train(config(), few)
