"""Evaluation against scikit-learn and torch."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision.transforms import Compose, Normalize, ToTensor

from mnist_core import models
from mnist_core.config import ModelConfig
from mnist_core.data import Split
from mnist_core.device.runtime import Runtime
from mnist_core.tasks import class_metrics as evaluation_module
from mnist_core.tasks.class_metrics import confusion_matrix, evaluate, macro_f1

FP32 = Runtime(device=torch.device("cpu"), precision="fp32", threads=1)
BF16 = Runtime(device=torch.device("cpu"), precision="bf16", threads=1)


def network(name="net"):
    torch.manual_seed(2)
    return models.build(ModelConfig(name=name), 10)


def reference_logits(model, split):
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    with torch.no_grad():
        return model(torch.stack([transform(image.numpy()) for image in split.images]))


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


@given(PAIRS)
def test_metrics_are_scikit_learns(pairs):
    """Six classes, of which any may be absent in truth, prediction or both."""
    truth, predicted = np.array(pairs).T
    matrix = confusion_matrix(torch.tensor(truth), torch.tensor(predicted), 6)
    assert matrix.dtype == torch.int64
    np.testing.assert_array_equal(
        matrix.numpy(), sk.confusion_matrix(truth, predicted, labels=list(range(6)))
    )
    reference = sk.f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(matrix) == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1]),
        ([0, 0, 1, 1], [1, 1, 0, 0]),
        ([2, 2, 2], [2, 2, 2]),
        ([0, 1, 2], [3, 3, 3]),
        ([0, 0, 0, 1], [0, 0, 0, 0]),
        ([3], [0]),
    ],
)
def test_corner_cases(truth, predicted):
    matrix = confusion_matrix(torch.tensor(truth), torch.tensor(predicted), 4)
    np.testing.assert_array_equal(
        matrix.numpy(), sk.confusion_matrix(truth, predicted, labels=list(range(4)))
    )
    reference = sk.f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(matrix) == pytest.approx(reference, abs=1e-12)


def test_everything_on_real_digits(digits):
    model, split = network(), digits.validation
    result = evaluate(model, split, runtime=FP32)
    logits = reference_logits(model.eval(), split)
    assert result.loss == pytest.approx(
        functional.cross_entropy(logits, split.labels).item(), rel=1e-5
    )
    assert result.predictions.dtype == torch.int64
    assert torch.equal(result.predictions, logits.argmax(dim=1))
    truth, predicted = split.labels.numpy(), result.predictions.numpy()
    assert result.metrics["accuracy"] == sk.accuracy_score(truth, predicted)
    assert result.metrics["macro_f1"] == pytest.approx(
        sk.f1_score(truth, predicted, average="macro", zero_division=0), abs=1e-12
    )
    np.testing.assert_array_equal(
        result.confusion.numpy(), sk.confusion_matrix(truth, predicted, labels=range(10))
    )
    assert result.confusion.sum() == len(split)


def test_rows_are_true_classes():
    matrix = confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([2, 2, 1]), 3)
    assert matrix.tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


def test_f1_is_not_averaged_over_batches(monkeypatch, few):
    """The average of the chunks' F1 is another number."""
    model = network()
    chunks = [
        sk.f1_score(labels, predictions, average="macro", zero_division=0)
        for labels, predictions in zip(
            few.validation.labels.split(10),
            evaluate(model, few.validation, runtime=FP32).predictions.split(10),
            strict=True,
        )
    ]
    monkeypatch.setattr(evaluation_module, "CHUNK", 10)
    result = evaluate(model, few.validation, runtime=FP32)
    assert abs(result.metrics["macro_f1"] - np.mean(chunks)) > 0.005
    whole = sk.f1_score(few.validation.labels, result.predictions, average="macro", zero_division=0)
    assert result.metrics["macro_f1"] == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 149, 150, 151, 10_000])
def test_chunks_do_not_show(monkeypatch, few, chunk):
    model = network()
    whole = evaluate(model, few.validation, runtime=FP32)
    monkeypatch.setattr(evaluation_module, "CHUNK", chunk)
    parts = evaluate(model, few.validation, runtime=FP32)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert torch.equal(parts.predictions, whole.predictions)
    assert torch.equal(parts.confusion, whole.confusion)
    assert (parts.metrics["accuracy"], parts.metrics["macro_f1"]) == (
        whole.metrics["accuracy"],
        whole.metrics["macro_f1"],
    )


def test_dropout_is_off_and_the_mode_is_put_back(few):
    model = network("cnn")
    for training in (True, False):
        model.train(training)
        first = evaluate(model, few.validation, runtime=FP32)
        second = evaluate(model, few.validation, runtime=FP32)
        assert first.loss == second.loss
        assert model.training is training
        assert all(module.training is training for module in model.modules())
    logits = reference_logits(model.eval(), few.validation)
    reference = functional.cross_entropy(logits, few.validation.labels).item()
    assert first.loss == pytest.approx(reference, rel=1e-5)


def test_the_mode_is_put_back_after_an_error(few):
    class Breaks(nn.Module):
        def forward(self, images):
            raise RuntimeError("broken")

    model = Breaks().train()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(model, few.validation, runtime=FP32)
    assert model.training


def test_nothing_else_changes(few):
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    state, images = torch.get_rng_state(), few.validation.images.clone()
    evaluate(model, few.validation, runtime=FP32)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(few.validation.images, images)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(map(torch.equal, model.parameters(), before))


def test_bf16_is_nearly_fp32(few):
    model = network()
    exact = evaluate(model, few.validation, runtime=FP32)
    rough = evaluate(model, few.validation, runtime=BF16)
    assert rough.loss == pytest.approx(exact.loss, rel=0.02)
    assert rough.loss != exact.loss


def test_one_image(few):
    one = Split(few.validation.images[:1], few.validation.labels[:1])
    result = evaluate(network(), one, runtime=FP32)
    assert result.metrics["accuracy"] in (0.0, 1.0)
    assert result.confusion.sum() == 1
