"""The pictures of a run, as PNG files; ``score_figures`` draws the curves over scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.console.plain_text import are, counted
from mnist_core.data import Split
from mnist_core.evaluation.confusion import PAIR_CLASSES, Confusion
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.evaluation.pictures import confusion_figure, side_by_side
from mnist_core.runs import figure_files
from mnist_core.runs.figure_files import BLUE, GREEN, ORANGE
from mnist_core.runs.score_figures import roc_and_precision
from mnist_core.tasks.class_metrics import surest_mistakes
from mnist_core.tasks.pair_metrics import PairEvaluation

_NAMES = tuple(
    f"{name}.png"
    for name in ("curves", "roc", "precision_recall", "confusion", "samples", "misclassified")
)
_SHOWN = 24
_LONG = 24  # letters of a caption that stands under one of eight images a row


def draw_all(
    folder: Path,
    *,
    title: str,
    history: Sequence[Mapping[str, float]],
    kept: Checkpoint,
    split: Split,
    found: Evaluation,
) -> list[str]:
    """Draw all pictures; return the files' names; raise UserError if one cannot be written."""
    curves(folder / "curves.png", history, title=title)
    roc_and_precision(folder, found, title=title)
    pairs = isinstance(found, PairEvaluation)
    names = kept.about.named(kept.n_classes)
    matrix = Confusion.of(found.confusion.tolist(), pairs=pairs, names=names)
    figure_files.save(confusion_figure(matrix, title), folder / "confusion.png")
    if isinstance(found, PairEvaluation):
        _pair_pictures(folder, split.images.cpu(), found)
    else:
        odds = evaluate_checkpoint.logits(kept, split.images).double().softmax(dim=1)
        _class_pictures(folder, split, odds, names)
    return [*_NAMES]


def curves(path: Path, history: Sequence[Mapping[str, float]], *, title: str) -> None:
    """Draw the losses and the validation accuracy over the epochs."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in history]
    marker = "o" if len(history) < 30 else ""
    for name, label, colour, style in (
        ("train_loss", "training", BLUE, "--"),
        ("val_loss", "validation", ORANGE, "-"),
    ):
        values = [entry[name] for entry in history]
        left.plot(epochs, values, style, marker=marker, markersize=3, color=colour, label=label)
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    accuracy = [100 * entry["val_accuracy"] for entry in history]
    right.plot(epochs, accuracy, marker=marker, markersize=3, color=ORANGE, label="validation")
    if all("train_accuracy" in entry for entry in history):
        values = [100 * entry["train_accuracy"] for entry in history]
        label = "training, while it learns"
        right.plot(epochs, values, "--", marker=marker, markersize=3, color=BLUE, label=label)
        right.legend(frameon=False)
    best = max(range(len(history)), key=lambda i: (accuracy[i], -history[i]["val_loss"]))
    right.plot(epochs[best], accuracy[best], "s", color=GREEN, markersize=9, fillstyle="none")
    right.set_title(f"best {accuracy[best]:.2f} %, at epoch {epochs[best]:g}", fontsize=10)
    right.set(xlabel="epoch", ylabel="accuracy, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if len(epochs) == 1:  # else the ticks would be thousandths of an epoch
            axes.set_xticks(epochs)
        elif epochs[-1] >= 3:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title)
    figure_files.save(figure, path)


def _class_pictures(
    folder: Path, split: Split, probabilities: Tensor, names: Sequence[str]
) -> None:
    images, labels = split.images.cpu(), split.labels.cpu()
    sure, predicted, wrong = surest_mistakes(probabilities, labels)

    def captions(chosen: Tensor) -> list[str]:
        rows = zip(labels[chosen], predicted[chosen], sure[chosen], strict=True)
        return [
            f"{names[p]}  {s:.0%}" if p == t else f"true {names[t]}, said {names[p]}\n{s:.0%}"
            for t, p, s in ((int(t), int(p), float(s)) for t, p, s in rows)
        ]

    first = torch.arange(min(_SHOWN, len(labels)))
    _mosaic(
        folder / "samples.png",
        images[first].numpy(),
        captions(first),
        f"the first {counted(len(first), 'validation image')}: prediction and its probability",
    )
    shown = wrong[:_SHOWN]
    _mosaic(
        folder / "misclassified.png",
        images[shown].numpy(),
        captions(shown),
        f"{len(wrong)} of {counted(len(labels), 'validation image')} {are(len(wrong))}"
        " misclassified"
        + (f"; the {counted(len(shown), 'surest mistake')}" if len(shown) < len(wrong) else ""),
    )


def _pair_pictures(folder: Path, images: Tensor, found: PairEvaluation) -> None:
    def show(name: str, chosen: Tensor, title: str) -> None:
        pairs = images[found.pairs[chosen]].numpy()
        shown = [side_by_side(pair, gap=1) for pair in pairs]
        height, width = images.shape[1:3]
        none = np.zeros((0, height, 2 * width + 1, *images.shape[3:]), np.uint8)
        stacked = np.stack(shown) if shown else none
        names = [
            f"{PAIR_CLASSES[said]}  {score:.2f}"
            if said == same
            else f"{PAIR_CLASSES[same]}, said\n{PAIR_CLASSES[said]}  {score:.2f}"
            for same, said, score in zip(
                found.same[chosen].int().tolist(),
                found.predictions[chosen].int().tolist(),
                found.scores[chosen].tolist(),
                strict=True,
            )
        ]
        _mosaic(folder / name, stacked, names, title)

    said = f"score, {found.threshold:.2f} and above: same"
    first = torch.arange(min(_SHOWN, len(found.same)))
    show(
        "samples.png",
        first,
        f"the first {counted(len(first), 'validation pair')}: prediction and {said}",
    )
    wrong = int((found.predictions != found.same).sum())
    worst = found.hardest(min(_SHOWN, wrong))
    more = f"; the {len(worst)} hardest" if len(worst) < wrong else ""
    total = len(found.same)
    show(
        "misclassified.png",
        worst,
        f"{wrong} of {counted(total, 'pair')} {are(wrong)} misclassified{more} ({said})",
    )


def _mosaic(path: Path, images: npt.NDArray[np.uint8], captions: Sequence[str], title: str) -> None:
    """Draw images ``[N, rows, columns]``, or in colour, with a caption each, six or eight a row."""
    height, width = images.shape[1:3]
    colour = images.ndim == 4
    # Names of classes are longer than their numbers.
    per_row = 6 if width > height or max(map(len, captions), default=0) > _LONG else 8
    rows = -(-len(images) // per_row)
    # One large image: an axes for each would take a second.
    # Of 28 rows that is the height of two lines; larger images have letters as many pixels larger.
    caption_height = round((14 if width > height else 10) * max(1.0, height / 28))
    across, down = width + 4, height + caption_height + 1
    sides = rows * down, per_row * across, *images.shape[3:]
    canvas = np.full(sides, 255 if colour else 0, np.uint8)
    figure = Figure(
        figsize=(11, 0.5 + 11 * canvas.shape[0] / canvas.shape[1]), layout="constrained"
    )
    axes = figure.add_subplot()
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = place // per_row * down + caption_height, place % per_row * across + 2
        canvas[top : top + height, left : left + width] = image
        axes.text(left + width / 2, top - 1.2, caption, ha="center", va="bottom", fontsize=9)
        frame = Rectangle((left - 1, top - 1), width + 1, height + 1, fill=False, edgecolor="0.7")
        axes.add_patch(frame)
    if rows:
        axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure_files.save(figure, path)
