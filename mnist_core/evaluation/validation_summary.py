"""What is kept of a model's last validation, in 2 kB: its surest mistakes, and two curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mnist_core.evaluation import score_curves
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.score_curves import Curve

if TYPE_CHECKING:  # torch takes seconds to import, and trackers need none
    from mnist_core.evaluation.evaluation import Evaluation

NAME = "validation"  # under which it is kept with a trial
MISTAKES, POINTS = 9, 40  # largest numbers of mistakes, and of points of a curve
_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A curve as it is drawn: straight lines between its points."""

    x: tuple[float, ...]  # ascending, 0 to 1
    y: tuple[float, ...]  # 0 to 1
    area: float  # of the whole curve: the area below a ROC curve, or the average precision


@dataclass(frozen=True, kw_only=True)
class ValidationSummary:
    """What is kept of a validation."""

    mistakes: tuple[Mistake, ...]
    # true over false positive rate: of pairs; of classes all "is it of this class?" at once
    # (micro-averaged, one against the rest)
    roc: Drawn
    precision_recall: Drawn

    @classmethod
    def of(cls, evaluation: "Evaluation") -> Self:
        """Sum up ``evaluation``; a hundredth of a second for 10,000 images."""
        roc, precision_recall = evaluation.roc_curve(), evaluation.precision_recall_curve()
        return cls(
            mistakes=tuple(evaluation.mistakes(MISTAKES)),
            roc=_drawn(roc, score_curves.roc_auc(roc)),
            precision_recall=_drawn(
                precision_recall, score_curves.average_precision(precision_recall)
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; a mistake is ``[image(s) …, truth, said, score]``."""
        return {
            "mistakes": [[*m.images, m.truth, m.said, m.score] for m in self.mistakes],
            "roc": {"x": [*self.roc.x], "y": [*self.roc.y], "area": self.roc.area},
            "precision_recall": {
                "x": [*self.precision_recall.x],
                "y": [*self.precision_recall.y],
                "area": self.precision_recall.area,
            },
        }

    @classmethod
    def from_json(cls, values: Any) -> Self | None:
        """Return what ``to_json`` made; None where ``values`` are not that."""
        try:
            return cls(
                mistakes=tuple(map(_mistake, values["mistakes"])),
                roc=_curve(values["roc"]),
                precision_recall=_curve(values["precision_recall"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


def of_attributes(attributes: Mapping[str, Any]) -> ValidationSummary | None:
    """Return what a trial has kept; None if nothing, e.g. if it was pruned."""
    return ValidationSummary.from_json(attributes.get(NAME))


def _drawn(curve: Curve, area: float) -> Drawn:
    kept = score_curves.thinned(curve, POINTS)
    return Drawn(
        x=tuple(round(value, _DIGITS) for value in kept.x.tolist()),
        y=tuple(round(value, _DIGITS) for value in kept.y.tolist()),
        area=round(area, 2 * _DIGITS),
    )


def _mistake(row: Sequence[Any]) -> Mistake:
    *images, truth, said, score = row
    if len(images) not in (1, 2):
        raise ValueError(row)
    return Mistake(
        images=tuple(map(int, images)), truth=int(truth), said=int(said), score=float(score)
    )


def _curve(values: Mapping[str, Any]) -> Drawn:
    x, y = (tuple(map(float, values[name])) for name in ("x", "y"))
    if len(x) != len(y):
        raise ValueError(values)
    return Drawn(x=x, y=y, area=float(values["area"]))
