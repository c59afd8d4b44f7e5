"""Pictures of a trial, as PNG files: its curve, and what it has kept of its last validation."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mnist_core.errors import UserError
from mnist_core.evaluation.confusion import Confusion
from mnist_core.evaluation.pictures import confusion_figure
from mnist_core.evaluation.validation_summary import ValidationSummary
from objectives.mistake_images import MistakeImages
from studies.analysis.scales import axis_label
from studies.analysis.stored_study import Stored
from studies.core.formatting import is_share
from studies.core.trials import TrialRecord

if TYPE_CHECKING:  # matplotlib takes half a second
    from matplotlib.figure import Figure

CONFUSION = "confusion"
"""Attribute of a trial: rows are true classes, columns predicted ones."""

_BLUE, _PALE = "#0072B2", "#B8B8B8"
_PEERS = 60
"""Other curves that are drawn at most, the latest ones."""
_DPI = 110


def curve(stored: Stored, record: TrialRecord, others: Sequence[TrialRecord]) -> bytes:
    """Draw the curve of ``record`` over those of the ``others`` of its choice."""
    from matplotlib.ticker import MaxNLocator

    spec = stored.plan.spec
    scale = 100 if is_share(spec.metric) else 1
    choice = record.params.get(spec.scientific)
    figure = _figure(6, 4)
    axes = figure.add_subplot()
    peers = [
        other
        for other in others
        if other.curve
        and other.number != record.number
        and other.params.get(spec.scientific) == choice
    ]
    # One label for all peers: a legend of sixty lines would hide the curve.
    for index, other in enumerate(peers[-_PEERS:]):
        label = f"other trials{f' of {choice}' if spec.compares else ''}" if index == 0 else None
        _line(axes, other, scale, color=_PALE, linewidth=0.9, label=label)
    _line(axes, record, scale, color=_BLUE, linewidth=2.2, marker="o", label=f"{record.number}")
    of_choice = f", {choice}" if spec.compares else ""
    title = f"trial {record.number}{of_choice}, {record.state.lower()}"
    axes.set_title(title, fontsize=11)
    axes.set(xlabel="report", ylabel=axis_label(spec.metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="trial")
    return _png(figure)


def confusion(stored: Stored, record: TrialRecord) -> bytes:
    """Draw the confusion matrix that ``record`` has kept, of the validation images."""
    pairs = stored.plan.spec.label == "pairs"
    names = record.class_names
    matrix = Confusion.of(record.attributes[CONFUSION], pairs=pairs, names=names)
    return _png(confusion_figure(matrix, f"trial {record.number}, validation"))


def validation_curves(record: TrialRecord, kept: ValidationSummary) -> bytes:
    """Draw the ROC and precision-recall curves of a trial's last validation."""
    figure = _figure(8, 4.2)
    figure.suptitle(f"trial {record.number}, validation", fontsize=11)
    left, right = figure.subplots(1, 2)
    for axes, curve, x, y, name in (
        (left, kept.roc, "false positive rate", "true positive rate", "ROC, area"),
        (right, kept.precision_recall, "recall", "precision", "average precision"),
    ):
        axes.plot(curve.x, curve.y, color=_BLUE, linewidth=2)
        axes.set_title(f"{name} {curve.area:.5f}", fontsize=10)
        axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.grid(alpha=0.3)
    return _png(figure)


def mistakes(
    stored: Stored, record: TrialRecord, kept: ValidationSummary, images: MistakeImages
) -> bytes:
    """Draw the surest mistakes of a trial; where the images are not here, say so."""
    plan, data = stored.plan, stored.plan.adapter.images
    assert data is not None  # only the trainer keeps mistakes
    figure = _figure(6, 6.6)
    figure.suptitle(f"trial {record.number}, surest mistakes on the validation images", fontsize=11)
    try:
        drawn = images.draw(kept.mistakes, data, plan.data_fingerprint)
    except UserError as error:
        figure.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True)
        return _png(figure)
    grid = list(figure.subplots(3, 3, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, picture, mistake in zip(grid, drawn, kept.mistakes, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(mistake.text(record.class_names).replace(", ", "\n"), fontsize=8)
    return _png(figure)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    return drawn.getvalue()


def _line(axes: Any, record: TrialRecord, scale: float, **style: Any) -> None:
    axes.plot(list(record.curve), [scale * value for value in record.curve.values()], **style)
