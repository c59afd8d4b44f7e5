"""The pictures of a run: all there, whatever the run was like, and nothing of them cut off."""

import dataclasses

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from torch.nn import functional

from mnist_core import models, train
from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.data import Split
from mnist_core.errors import UserError
from mnist_core.runs import figure_files, run_figures
from mnist_core.tasks.class_metrics import confusion_matrix, of_logits
from mnist_core.tasks.pair_metrics import PairEvaluation

TITLE = "lenet5 on mnist-10pct, 20261121-094345-lenet5-d63c0f"
PICTURES = [
    "confusion.png",
    "curves.png",
    "misclassified.png",
    "precision_recall.png",
    "roc.png",
    "samples.png",
]


def history(reports, per_epoch=1):
    return [
        {
            "step": step,
            "epoch": step / per_epoch,
            "train_loss": 1 / step,
            "val_loss": 1.1 / step,
            "val_accuracy": 1 - 0.5 / step,
        }
        for step in range(1, reports + 1)
    ]


@pytest.fixture
def unrendered(monkeypatch):
    """Ask for it before ``figures``: pictures are drawn, but not rendered, which takes longest."""
    monkeypatch.setattr(figure_files, "save", lambda figure, path: path.touch())


@pytest.fixture
def figures(monkeypatch):
    """Return what is drawn by the file's name, as a figure."""
    seen = {}
    save = figure_files.save

    def spy(figure, path):
        seen[path.name] = figure
        save(figure, path)

    monkeypatch.setattr(figure_files, "save", spy)
    return seen


@pytest.fixture
def kept(config):
    def make(n_classes):
        some = train.resolve(config(model__name="lenet5"))
        torch.manual_seed(0)
        model = models.build(some.model, n_classes).eval()
        return Checkpoint(model=model, config=some, n_classes=n_classes, metrics={})

    return make


def evaluation(split, predicted, n_classes):
    logits = functional.one_hot(predicted, n_classes).double()
    return of_logits(logits, split.labels, loss=0.0)


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def nothing_is_cut_off(figure):
    FigureCanvasAgg(figure).draw()
    width, height = figure.bbox.size
    for text in texts(figure):
        box = text.get_window_extent()
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        # Ticks beyond an axis' limits are there, but not drawn.
        assert inside or text.get_clip_on() or text not in drawn(figure), text.get_text()


def drawn(figure):
    """Return the texts that a reader is to see: titles, labels, captions."""
    found = [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        found += axes.get_xticklabels() + axes.get_yticklabels() if len(axes.images) else []
    return found


# The curves know nothing of the classes, nor the other pictures of the reports.
@pytest.mark.parametrize(("n_classes", "reports"), [(2, 1), (10, 2), (47, 40)])
def test_classes(figures, kept, digits, tmp_path, n_classes, reports):
    images = digits.validation.images[:60]
    labels = torch.arange(60) % n_classes
    split = Split(images, labels)
    model = kept(n_classes)
    predicted = evaluate_checkpoint.logits(model, images).argmax(dim=1)
    names = run_figures.draw_all(
        tmp_path,
        title=TITLE,
        history=history(reports),
        kept=model,
        split=split,
        found=evaluation(split, predicted, n_classes),
    )
    assert sorted(names) == PICTURES == sorted(path.name for path in tmp_path.iterdir())
    wrong = int((predicted != labels).sum())
    said = {name: [text.get_text() for text in texts(figures[name])] for name in names}
    assert any(t.startswith(f"{wrong} of 60 validation images") for t in said["misclassified.png"])
    assert sum("said" in text for text in said["misclassified.png"]) == min(24, wrong)
    for name in names:
        nothing_is_cut_off(figures[name])
        with Image.open(tmp_path / name) as picture:
            picture.load()
            assert max(picture.size) < 2_000


def test_what_the_pictures_say(unrendered, figures, kept, digits, tmp_path):
    """The surest mistake comes first, and each caption belongs to the image below it."""
    split = Split(digits.validation.images[:100], digits.validation.labels[:100])
    model = kept(10)
    probabilities = evaluate_checkpoint.logits(model, split.images).double().softmax(dim=1)
    sure, predicted = probabilities.max(dim=1)
    wrong = (predicted != split.labels).nonzero().flatten()
    order = wrong[sure[wrong].argsort(descending=True, stable=True)][:24]
    run_figures.draw_all(
        tmp_path,
        title=TITLE,
        history=history(2),
        kept=model,
        split=split,
        found=evaluation(split, predicted, 10),
    )
    captions = [text.get_text() for text in figures["misclassified.png"].axes[0].texts]
    assert captions == [
        f"true {split.labels[i]}, said {predicted[i]}\n{sure[i]:.0%}" for i in order
    ]
    canvas = figures["misclassified.png"].axes[0].images[0].get_array()
    for place, i in enumerate(order):
        top, left = place // 8 * 39 + 10, place % 8 * 32 + 2
        shown = torch.from_numpy(canvas[top : top + 28, left : left + 28].copy())
        assert torch.equal(shown, split.images[i])
    cells = {t.get_position(): t.get_text() for t in figures["confusion.png"].axes[0].texts}
    counts = confusion_matrix(split.labels, predicted, 10)
    assert cells == {(j, i): str(int(counts[i, j])) for i, j in counts.nonzero().tolist()}


def test_classes_all_at_once(unrendered, figures, kept, digits, tmp_path):
    split = Split(digits.validation.images[:100], digits.validation.labels[:100])
    model = kept(10)
    logits = evaluate_checkpoint.logits(model, split.images).double()
    found = evaluation(split, logits.argmax(dim=1), 10)
    found = dataclasses.replace(found, logits=logits)
    run_figures.draw_all(
        tmp_path, title=TITLE, history=history(2), kept=model, split=split, found=found
    )
    truth = functional.one_hot(split.labels, 10).flatten().numpy()
    odds = logits.softmax(dim=1)
    area = roc_auc_score(truth, odds.flatten().numpy())
    roc, precision = figures["roc.png"].axes[0], figures["precision_recall.png"].axes[0]
    assert f"ROC-AUC {area:.5f}" in roc.get_title()
    taken = functional.one_hot(odds.argmax(dim=1), 10).flatten().numpy()
    (mark,) = (line for line in roc.lines if line.get_marker() == "s")
    false, true = taken[truth == 0].mean(), taken[truth == 1].mean()
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((false, true))
    (mark,) = (line for line in precision.lines if line.get_marker() == "s")
    expected = (recall_score(truth, taken), precision_score(truth, taken))
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx(expected)


def test_no_mistakes(kept, digits, tmp_path, unrendered, figures):
    split = Split(digits.validation.images[:5], digits.validation.labels[:5])
    model = kept(10)
    predicted = evaluate_checkpoint.logits(model, split.images).argmax(dim=1)
    split = Split(split.images, predicted)
    found = evaluation(split, predicted, 10)
    run_figures.draw_all(
        tmp_path, title=TITLE, history=history(1), kept=model, split=split, found=found
    )
    (title,) = texts(figures["misclassified.png"])
    assert title.get_text() == "0 of 5 validation images are misclassified"
    nothing_is_cut_off(figures["misclassified.png"])


@pytest.mark.parametrize("gap", [0.0, 2.0, 50.0])
def test_pairs(kept, digits, tmp_path, unrendered, figures, gap):
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randint(1000, (500, 2), generator=generator)
    same = torch.rand(500, generator=generator) < 0.5
    scores = torch.rand(500, generator=generator).double() + gap * same
    found = PairEvaluation(loss=0.1, pairs=pairs, same=same, scores=scores)
    names = run_figures.draw_all(
        tmp_path,
        title=TITLE.replace("lenet5", "siamese"),
        history=history(3, per_epoch=2),
        kept=kept(10),
        split=digits.validation,
        found=found,
    )
    assert sorted(names) == PICTURES
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        nothing_is_cut_off(figures[name])
    roc = found.roc_curve()
    line = figures["roc.png"].axes[0].lines[1]
    assert (line.get_xdata() == roc.x).all() and (line.get_ydata() == roc.y).all()
    (mark,) = (line for line in figures["roc.png"].axes[0].lines if line.get_marker() == "s")
    false, true = (float(found.predictions[same == is_same].double().mean()) for is_same in (0, 1))
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((false, true))


def test_a_real_evaluation_of_pairs(config, few, tmp_path):
    some = config(model__name="siamese", model__width=4, pairs__evaluation=50)
    some = train.resolve(some.override({"pairs.per_epoch": 100, "batch_size": 50}))
    result = train.train(some, few)
    kept = Checkpoint(model=result.model, config=some, n_classes=10, metrics=result.metrics)
    found = evaluate_checkpoint.judge(kept, few.validation)
    assert isinstance(found, PairEvaluation)
    run_figures.draw_all(
        tmp_path,
        title=TITLE,
        history=result.history,
        kept=kept,
        split=few.validation,
        found=found,
    )
    assert len(list(tmp_path.iterdir())) == 6


def test_a_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"curves\.png: cannot be written: No such file"):
        run_figures.curves(tmp_path / "gone" / "curves.png", history(1), title=TITLE)
