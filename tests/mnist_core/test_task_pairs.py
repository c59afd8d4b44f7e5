"""The pair task: what it refuses, minimises and measures, against the model applied by hand."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from mnist_core import losses, models, tasks
from mnist_core.batches.batches import normalise
from mnist_core.batches.pair_batches import evaluation_pairs
from mnist_core.config import AugmentConfig
from mnist_core.data import Split
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError, DataError
from mnist_core.tasks import pairs as pair_task
from mnist_core.train import resolve, train

FP32 = Runtime(device=torch.device("cpu"), precision="fp32", threads=1)
BF16 = Runtime(device=torch.device("cpu"), precision="bf16", threads=1)
LOSSES = ("bce", "contrastive", "triplet", "supcon")


@pytest.fixture
def settings(config):
    """Build a small, quick pair configuration."""

    def build(model="siamese", **changes):
        small = {"model__width": 8, "batch_size": 32, "pairs__per_epoch": 96}
        small["pairs__evaluation"] = 120
        return resolve(config(model__name=model, **(small | changes)))

    return build


def network(config, seed=1):
    torch.manual_seed(seed)
    return models.build(config.model, 10)


def evaluate(model, split, config, *, runtime=FP32, threshold=None):
    return tasks.evaluate(model, split, config, runtime=runtime, threshold=threshold)


def inputs_of(split, pairs):
    images = normalise(split.images[pairs.flatten()], torch.float32)
    return images.reshape(len(pairs), 2, 28, 28)


@pytest.mark.parametrize("model", ["siamese", "pair_concat"])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_losses_of_classifiers_are_refused(refusal, config, model, loss):
    wrong = config(model__name=model, loss__name=loss)
    assert f"loss.name: {loss!r} classifies" in refusal(ConfigError, resolve, wrong)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "supcon"])
def test_metric_losses_need_embeddings_and_no_smoothing(refusal, config, loss):
    wrong = config(model__name="pair_concat", loss__name=loss)
    assert "'pair_concat' has none" in refusal(ConfigError, resolve, wrong)
    wrong = config(model__name="siamese", loss__name=loss, label_smoothing=0.1)
    assert "label_smoothing" in refusal(ConfigError, resolve, wrong)
    state = torch.get_rng_state()
    resolve(config(model__name="siamese", loss__name=loss))
    assert torch.equal(torch.get_rng_state(), state)


def test_images_of_one_class_are_refused(refusal, few, settings):
    one = Split(few.train.images, torch.zeros_like(few.train.labels))
    for data in (dataclasses.replace(few, train=one), dataclasses.replace(few, validation=one)):
        message = refusal(DataError, tasks.create, settings(), data, FP32)
        assert "needs two classes" in message


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("model", ["siamese", "pair_concat"])
def test_bce_is_that_of_the_models_logits(few, settings, model, smoothing):
    config = settings(model, label_smoothing=smoothing)
    task, net = tasks.create(config, few, FP32), network(config).eval()
    inputs, targets = next(task.epoch())
    same = (targets[:, 0] == targets[:, 1]).float()
    expected = functional.binary_cross_entropy_with_logits(
        net(inputs), same * (1 - smoothing) + 0.5 * smoothing
    )
    torch.testing.assert_close(task.loss(net, inputs, targets), expected)


@pytest.mark.parametrize("loss", LOSSES[1:])
def test_metric_losses_take_the_embeddings(few, settings, loss):
    config = settings(loss__name=loss, loss__margin=2.0, loss__temperature=0.3)
    task, net = tasks.create(config, few, FP32), network(config).eval()
    inputs, targets = next(task.epoch())
    first, second = net.embed(inputs[:, :1]), net.embed(inputs[:, 1:])
    both, of = torch.cat([first, second]), torch.cat([targets[:, 0], targets[:, 1]])
    expected = {
        "contrastive": losses.contrastive(
            first, second, targets[:, 0] == targets[:, 1], margin=2.0
        ),
        "triplet": losses.triplet(both, of, margin=2.0),
        "supcon": losses.supervised_contrastive(both, of, temperature=0.3),
    }[loss]
    torch.testing.assert_close(task.loss(net, inputs, targets), expected)


@pytest.mark.parametrize("model", ["siamese", "pair_concat"])
def test_scores_and_loss_are_the_models_own(few, settings, model):
    config = settings(model)
    split, net = few.validation, network(config).eval()
    found = evaluate(net, split, config)
    pairs = evaluation_pairs(split.labels, 120, 0)
    assert torch.equal(found.pairs, pairs)
    same = split.labels[pairs[:, 0]] == split.labels[pairs[:, 1]]
    assert torch.equal(found.same, same)
    with torch.no_grad():
        logits = net(inputs_of(split, pairs))
    torch.testing.assert_close(found.scores, logits.double(), atol=1e-5, rtol=1e-5)
    expected = functional.binary_cross_entropy_with_logits(logits, same.float())
    assert found.loss == pytest.approx(expected.item(), rel=1e-5)
    assert found.confusion.sum(dim=1).tolist() == [60, 60]


@pytest.mark.parametrize("loss", LOSSES[1:])
def test_scores_and_loss_of_metric_losses(few, settings, loss):
    config = settings(loss__name=loss)
    split, net = few.validation, network(config).eval()
    found = evaluate(net, split, config)
    pairs = found.pairs
    with torch.no_grad():
        a, b = (net.embed(inputs_of(split, pairs)[:, i : i + 1]) for i in (0, 1))
    scores = (
        functional.cosine_similarity(a, b)
        if loss == "supcon"
        else -functional.pairwise_distance(a, b, eps=0)
    )
    torch.testing.assert_close(found.scores, scores.double(), atol=1e-5, rtol=1e-5)
    # Batches of 32 of 120 pairs: the last one has 24.
    task, of, total = tasks.create(config, few, FP32), split.labels, 0.0
    for part in pairs.split(32):
        with torch.no_grad():
            total += task.loss(net, inputs_of(split, part), of[part]).item() * len(part)
    assert found.loss == pytest.approx(total / 120, rel=1e-5)


def test_smoothing_does_not_show_in_the_evaluation(few, settings):
    plain, smooth = settings(), settings(label_smoothing=0.3)
    net = network(plain)
    assert evaluate(net, few.validation, plain).loss == evaluate(net, few.validation, smooth).loss


def test_pairs_are_fixed_by_the_split_and_its_seed_alone(few, settings):
    def judged(split=few.validation, **changes):
        config = settings(**changes)
        return evaluate(network(config), split, config).pairs

    fixed = judged()
    assert torch.equal(judged(seed=9), fixed)
    assert torch.equal(judged(batch_size=8), fixed)
    assert torch.equal(judged(pairs__per_epoch=10), fixed)
    assert torch.equal(judged(loss__name="supcon"), fixed)
    assert not torch.equal(judged(data__split_seed=1), fixed)
    assert not torch.equal(judged(few.train), fixed)
    for seed in (0, 1):
        config = settings(seed=seed)
        task = tasks.create(config, few, FP32)
        list(task.epoch())
        assert torch.equal(task.evaluate(network(config)).pairs, fixed)


def test_the_threshold_is_the_given_one_or_the_best(few, settings):
    config = settings()
    net = network(config)
    own = evaluate(net, few.validation, config)
    assert own.metrics["threshold"] == own.threshold
    given = evaluate(net, few.validation, config, threshold=own.threshold)
    assert given.metrics == own.metrics
    high = evaluate(net, few.validation, config, threshold=1e9)
    assert high.accuracy == 0.5 and high.threshold == 1e9
    assert high.roc_auc == own.roc_auc
    assert own.accuracy >= 0.5


def test_each_image_is_embedded_once(few, settings):
    config = settings(pairs__evaluation=1000)
    net = network(config)
    seen = []
    net.encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    found = evaluate(net, few.validation, config)
    assert sum(seen) == len(found.pairs.unique()) <= 150


@pytest.mark.parametrize("model", ["siamese", "pair_concat"])
@pytest.mark.parametrize("chunk", [1, 7, 120, 10_000])
def test_chunks_do_not_show(monkeypatch, few, settings, model, chunk):
    config = settings(model)
    net = network(config)
    whole = evaluate(net, few.validation, config)
    monkeypatch.setattr(pair_task, "_IMAGES", 2 * chunk)
    monkeypatch.setattr(pair_task, "_COMPARED", chunk)
    parts = evaluate(net, few.validation, config)
    torch.testing.assert_close(parts.scores, whole.scores, atol=1e-6, rtol=1e-5)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.parametrize("model", ["siamese", "pair_concat"])
def test_dropout_is_off_and_nothing_changes(few, settings, model):
    config = settings(model)
    net = network(config)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    for training in (True, False):
        net.train(training)
        first, second = (evaluate(net, few.validation, config) for _ in range(2))
        assert torch.equal(first.scores, second.scores)
        assert all(module.training is training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_mode_is_put_back_after_an_error(few, settings):
    class Breaks(nn.Module):
        def forward(self, pairs):
            raise RuntimeError("broken")

    net = Breaks().train()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(net, few.validation, settings("pair_concat"))
    assert net.training


@pytest.mark.parametrize("loss", LOSSES)
def test_bf16_is_nearly_fp32(few, settings, loss):
    config = settings(loss__name=loss)
    net = network(config)
    exact = evaluate(net, few.validation, config)
    rough = evaluate(net, few.validation, config, runtime=BF16)
    assert rough.loss == pytest.approx(exact.loss, rel=0.05)
    assert rough.scores.dtype == torch.float64
    assert not torch.equal(rough.scores, exact.scores)
    task = tasks.create(config, few, BF16)
    assert task.loss(net, *next(task.epoch())).dtype == torch.float32


def test_a_state_goes_on_where_it_was(few, settings):
    config = settings(augment=AugmentConfig(shift=0.1).to_dict())
    whole, other = (tasks.create(config, few, FP32) for _ in range(2))
    list(whole.epoch())
    other.load_state(whole.state())
    for (a, of_a), (b, of_b) in zip(whole.epoch(), other.epoch(), strict=True):
        assert torch.equal(a, b) and torch.equal(of_a, of_b)
    assert len(whole) == 3


@pytest.mark.parametrize("loss", LOSSES)
def test_training_learns_and_its_last_report_is_what_evaluation_says(digits, settings, loss):
    config = settings(
        loss__name=loss,
        model__depth=2,
        optim__lr=3e-3,
        epochs=2,
        pairs__per_epoch=1000,
        pairs__evaluation=500,
    )
    result = train(config, digits)
    assert result.images == 2000
    assert result.metrics["val_roc_auc"] > (0.6 if loss == "bce" else 0.7)
    assert result.history[1]["val_loss"] < result.history[0]["val_loss"]
    threshold = result.metrics["val_threshold"]
    found = evaluate(result.model, digits.validation, config, threshold=threshold)
    assert {f"val_{name}": value for name, value in found.metrics.items()} == {
        name: value for name, value in result.metrics.items() if name.startswith("val_")
    }
    assert result.confusion == found.confusion.tolist()


def test_the_same_seed_trains_the_same_model(few, settings):
    config = settings(augment=AugmentConfig(rotate=10).to_dict(), epochs=2)
    first, second = train(config, few), train(config, few)
    assert first.metrics == second.metrics
    other = train(config.override({"seed": 1}), few)
    assert other.metrics != first.metrics


@pytest.mark.parametrize("loss", LOSSES)
def test_it_runs_where_operations_must_be_deterministic(few, settings, loss):
    config = settings(loss__name=loss, deterministic=True)
    assert train(config, few).metrics == train(config, few).metrics
