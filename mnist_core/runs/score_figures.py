"""Curves over the scores of a validation: ROC, and precision over recall."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_core.evaluation import score_curves
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.runs import figure_files
from mnist_core.runs.figure_files import BLUE, ORANGE, narrow
from mnist_core.tasks.pair_metrics import PairEvaluation


def roc_and_precision(folder: Path, found: Evaluation, *, title: str) -> None:
    """Draw ``roc.png`` and ``precision_recall.png``.

    A mark is where the model decides: at the threshold of pairs, or by taking the likeliest class.
    """
    at = _decision(found)
    roc = found.roc_curve()
    figure, axes = _square(f"{title}, ROC-AUC {score_curves.roc_auc(roc):.5f}")
    axes.plot([0, 1], [0, 1], ":", color="0.6", label="by chance")
    _curve(axes, roc.x, roc.y, (at.false_rate, at.true_rate), at.name)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    _zoom(axes, roc.x, roc.y, (at.false_rate, at.true_rate), corner=(0.0, 1.0))
    axes.legend(loc="lower right", edgecolor="none")
    figure_files.save(figure, folder / "roc.png")
    curve = found.precision_recall_curve()
    area = score_curves.average_precision(curve)
    figure, axes = _square(f"{title}, average precision {area:.5f}")
    axes.axhline(at.share, linestyle=":", color="0.6", label="by chance")
    _curve(axes, curve.x, curve.y, (at.true_rate, at.precision), at.name)
    axes.set(xlabel="recall", ylabel="precision")
    _zoom(axes, curve.x, curve.y, (at.true_rate, at.precision), corner=(1.0, 1.0))
    axes.legend(loc="lower left", edgecolor="none")
    figure_files.save(figure, folder / "precision_recall.png")


@dataclass(frozen=True, kw_only=True)
class _Decision:
    name: str
    false_rate: float
    true_rate: float
    precision: float
    share: float  # of what is true, 0 to 1: the precision of a guess


def _decision(found: Evaluation) -> _Decision:
    cells = found.confusion.double().numpy()
    if isinstance(found, PairEvaluation):
        return _Decision(
            name=f"threshold {found.threshold:.3g}",
            false_rate=cells[0, 1] / max(1, cells[0].sum()),
            true_rate=cells[1, 1] / max(1, cells[1].sum()),
            precision=cells[1, 1] / max(1, cells[:, 1].sum()),
            share=cells[1].sum() / cells.sum(),
        )
    # One class is taken for each image, so as many are taken as are true.
    n, classes, right = cells.sum(), len(cells), cells.trace()
    return _Decision(
        name="the likeliest class",
        false_rate=(n - right) / max(1, n * (classes - 1)),
        true_rate=right / n,
        precision=right / n,
        share=1 / classes,
    )


def _square(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(narrow(title), fontsize=10)
    axes.grid(alpha=0.3)
    return figure, axes


def _curve(
    axes: Axes,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    at: tuple[float, float],
    mark: str,
) -> None:
    axes.plot(x, y, color=BLUE, linewidth=2)
    axes.plot(*at, "s", color=ORANGE, markersize=8, fillstyle="none", markeredgewidth=2, label=mark)


def _zoom(
    axes: Axes,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    at: tuple[float, float],
    *,
    corner: tuple[float, float],
) -> None:
    """Show the corner where a good model's curve bends, ten times as large or more."""
    reach = max(abs(at[0] - corner[0]), abs(at[1] - corner[1]))
    if reach > 0.1:
        return
    size = max(0.01, 2 * reach)
    inset = axes.inset_axes((0.3, 0.3, 0.45, 0.45))
    inset.plot(x, y, color=BLUE, linewidth=2)
    inset.plot(*at, "s", color=ORANGE, markersize=8, fillstyle="none", markeredgewidth=2)
    inset.set_xlim(*((-0.02 * size, size) if corner[0] == 0 else (1 - size, 1 + 0.02 * size)))
    inset.set_ylim(1 - size, 1 + 0.02 * size)
    inset.grid(alpha=0.3)
    inset.tick_params(labelsize=8)
