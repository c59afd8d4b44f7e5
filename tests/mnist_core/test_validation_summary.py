"""What is kept of a validation: against scikit-learn and the images that were judged."""

import json

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.validation_summary import MISTAKES, POINTS, ValidationSummary
from mnist_core.tasks import class_metrics
from mnist_core.tasks.pair_metrics import PairEvaluation
from mnist_core.train import train


@pytest.fixture(scope="module")
def odds():
    """Probabilities of 2,000 images, of which a tenth or so is misjudged, and their classes."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (2000,), generator=random)
    logits = torch.randn(2000, 10, generator=random)
    logits[torch.arange(2000), labels] += 3.0
    return logits, labels


@pytest.fixture(scope="module")
def classes(odds):
    logits, labels = odds
    return class_metrics.of_logits(logits, labels, loss=0.0)


def test_the_curves_of_classes_are_scikit_learns_micro_average(odds, classes):
    logits, labels = odds
    chances = logits.double().softmax(dim=1).numpy()
    truth = np.eye(10)[labels]
    found = ValidationSummary.of(classes)
    area = sk.roc_auc_score(truth, chances, average="micro")
    assert found.roc.area == pytest.approx(area, abs=1e-9)
    area = sk.average_precision_score(truth, chances, average="micro")
    assert found.precision_recall.area == pytest.approx(area, abs=1e-9)
    wrong, right, _ = sk.roc_curve(truth.ravel(), chances.ravel(), drop_intermediate=False)
    theirs = {(round(x, 5), round(y, 5)) for x, y in zip(wrong, right, strict=True)}
    assert set(zip(found.roc.x, found.roc.y, strict=True)) <= theirs
    assert len(found.roc.x) == POINTS
    precision, recall, _ = sk.precision_recall_curve(truth.ravel(), chances.ravel())
    theirs = {(round(x, 5), round(y, 5)) for x, y in zip(recall, precision, strict=True)}
    drawn = found.precision_recall
    assert set(zip(drawn.x, drawn.y, strict=True)) <= theirs
    # What is drawn has the area that is said.
    assert np.trapezoid(found.roc.y, found.roc.x) == pytest.approx(found.roc.area, abs=1e-3)


def test_the_surest_mistakes_of_classes(odds, classes):
    logits, labels = odds
    chances = logits.double().softmax(dim=1)
    found = classes.mistakes(MISTAKES)
    wrong = [i for i in range(2000) if chances[i].argmax() != labels[i]]
    by_hand = sorted(wrong, key=lambda i: -chances[i].max())[:MISTAKES]
    assert [mistake.images for mistake in found] == [(i,) for i in by_hand]
    for mistake in found:
        (index,) = mistake.images
        assert mistake.truth == labels[index] and mistake.said == chances[index].argmax()
        assert mistake.score == pytest.approx(float(chances[index].max()), abs=1e-4)


def test_pairs():
    random = np.random.default_rng(0)
    same = torch.arange(600) % 2 == 0
    scores = torch.tensor(random.normal(size=600)) + 2.0 * same
    pairs = torch.arange(1200).view(600, 2)
    evaluation = PairEvaluation(loss=0.1, pairs=pairs, same=same, scores=scores)
    found = ValidationSummary.of(evaluation)
    assert found.roc.area == pytest.approx(sk.roc_auc_score(same, scores), abs=1e-9)
    assert found.precision_recall.area == pytest.approx(
        sk.average_precision_score(same, scores), abs=1e-9
    )
    worst = evaluation.hardest(MISTAKES).tolist()
    assert [mistake.images for mistake in found.mistakes] == [tuple(pairs[i]) for i in worst]
    assert all(m.truth != m.said and m.truth == same[m.images[0] // 2] for m in found.mistakes)


def test_a_model_without_mistakes():
    labels = torch.tensor([0, 1, 2])
    logits = 9.0 * torch.eye(3)
    found = ValidationSummary.of(class_metrics.of_logits(logits, labels, loss=0.0))
    assert found.mistakes == () and found.roc.area == found.precision_recall.area == 1.0
    assert ValidationSummary.from_json(found.to_json()) == found


@pytest.mark.parametrize("model", ["lenet5", "siamese"])
def test_what_a_training_returns_is_what_its_model_does(few, config, model):
    result = train(config(model__name=model, pairs__per_epoch=64, pairs__evaluation=64), few)
    kept = Checkpoint(
        model=result.model, config=result.config, n_classes=10, metrics=result.metrics
    )
    judged = evaluate_checkpoint.judge(kept, few.validation)
    assert ValidationSummary.of(result.evaluation) == ValidationSummary.of(judged)
    assert result.evaluation.confusion.tolist() == result.confusion


def test_it_survives_json_in_2_kb(classes):
    found = ValidationSummary.of(classes)
    text = json.dumps(found.to_json(), separators=(",", ":"))
    assert len(text) < 2048
    assert ValidationSummary.from_json(json.loads(text)) == found


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "x",
        {},
        {"mistakes": [[1]], "roc": {}, "precision_recall": {}},
        {"mistakes": [], "roc": {"x": [0], "y": [], "area": 1}, "precision_recall": {}},
        {"mistakes": [[1, 2, 3, 4, 5, 6]], "roc": {"x": [], "y": [], "area": 1}},
    ],
)
def test_what_is_no_summary_is_none(values):
    assert ValidationSummary.from_json(values) is None


def test_a_mistake_in_words():
    assert Mistake(images=(3,), truth=7, said=1, score=0.988).text() == "7 taken for 1, 99 %"
    pair = Mistake(images=(3, 4), truth=0, said=1, score=3.214)
    assert pair.text() == "different taken for same, score 3.21"
