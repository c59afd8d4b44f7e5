"""Curves of scores that should be high where something is true, as scikit-learn has them."""

# All is computed on the host, in float64: some thousand scores take about a millisecond.

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve, one for each distinct score as the threshold, the highest first."""

    x: Floats  # false positive rate (ROC) or recall, ascending, 0 to 1
    y: Floats  # true positive rate (ROC) or precision, 0 to 1
    thresholds: Floats  # the score of each point; infinity where nothing is predicted to be true


def counts(
    truth: npt.NDArray[np.bool_], scores: Floats
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct scores, descending, and how many true and false are not below.

    ``truth`` and ``scores``, which are finite, are ``[N]``, N >= 1.
    """
    order = np.argsort(-scores, kind="stable")
    values, true = scores[order], truth[order]
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    right = np.cumsum(true)[last]
    return values[last], right, last + 1 - right


def roc(truth: npt.NDArray[np.bool_], scores: Floats) -> Curve:
    """Return true over false positive rate, from (0, 0) to (1, 1)."""
    thresholds, right, wrong = counts(truth, scores)
    return Curve(
        x=np.append(0.0, wrong / max(1, wrong[-1])),
        y=np.append(0.0, right / max(1, right[-1])),
        thresholds=np.append(np.inf, thresholds),
    )


def precision_recall(truth: npt.NDArray[np.bool_], scores: Floats) -> Curve:
    """Return precision over recall, recall ascending, from the highest score on."""
    thresholds, right, wrong = counts(truth, scores)
    return Curve(x=right / max(1, right[-1]), y=right / (right + wrong), thresholds=thresholds)


def roc_auc(curve: Curve) -> float:
    """Return the area under a ROC curve."""
    return float(np.trapezoid(curve.y, curve.x))


def average_precision(curve: Curve) -> float:
    """Return the mean of the precisions at each threshold, weighted by the recall it adds."""
    return float((np.diff(curve.x, prepend=0.0) * curve.y).sum())


def thinned(curve: Curve, count: int) -> Curve:
    """Keep at most ``count`` (>= 2) points: straight lines between them are nearly the curve.

    The ends are kept, then again and again the point that lies farthest from these lines (Douglas
    and Peucker 1973, doi:10.3138/FM57-6770-U75U-7727), until all points lie on them.
    """
    x, y = curve.x, curve.y

    def farthest(first: int, last: int) -> tuple[float, int, int, int]:
        """Return how far it is from the line (less than 0: farther), which one, and the line."""
        if last - first < 2:
            return 0.0, first, first, last
        along, up = x[last] - x[first], y[last] - y[first]
        right, above = x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]
        length = np.hypot(along, up)
        apart = np.abs(along * above - up * right) / length if length else np.hypot(right, above)
        found = int(apart.argmax())
        return -float(apart[found]), first + 1 + found, first, last

    kept = {0, len(x) - 1}
    lines = [farthest(0, len(x) - 1)]
    while lines and len(kept) < count:
        distance, point, first, last = heapq.heappop(lines)
        if distance > -_ON_THE_LINE:
            break
        kept.add(point)
        heapq.heappush(lines, farthest(first, point))
        heapq.heappush(lines, farthest(point, last))
    chosen = sorted(kept)
    return Curve(x=x[chosen], y=y[chosen], thresholds=curve.thresholds[chosen])


_ON_THE_LINE = 1e-12
