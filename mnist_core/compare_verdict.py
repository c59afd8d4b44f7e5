"""One sentence on two trained models: identical, equal, inside the noise, or different."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnist_core import compare, compare_noise
from mnist_core.compare import Curves
from mnist_core.compare_noise import Noise
from mnist_core.errors import UserError
from mnist_core.model_record import ACCURACY, ModelRecord

_ROUNDING = 1e-9
"""Points: 0.3 read from files is not above a tolerance of 0.3."""

Readings = tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Measured:
    """One accuracy of both models.

    Attributes:
        name: ``validation accuracy`` or ``test accuracy``.
        a: of A, 0 to 1.
        b: of B, 0 to 1.
        noise: what chance alone makes; None: not known.
    """

    name: str
    a: float
    b: float
    noise: Noise | None

    @property
    def points(self) -> float:
        """B less A, percentage points."""
        return 100 * round(self.b - self.a, 12)


@dataclass(frozen=True)
class Verdict:
    """What comes out.

    Attributes:
        equal: whether A and B pass for equal: within the tolerance, or without one within the
            noise.
        sentence: and why.
    """

    equal: bool
    sentence: str


def measure(
    a: ModelRecord, b: ModelRecord, noise: Noise | None, readings: Readings | None
) -> list[Measured]:
    """Return the accuracies that are judged: validation, and test if both were read.

    Raises:
        UserError: a reading is damaged.
    """
    found = [Measured("validation accuracy", a.metrics[ACCURACY], b.metrics[ACCURACY], noise)]
    if readings:
        try:
            x, y = (float(reading["metrics"]["accuracy"]) for reading in readings)
            errors = [float(reading["accuracy_se"]) for reading in readings]
            counts = [int(reading["n"]) for reading in readings]
            kind = str(readings[0]["of"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{a.run} or {b.run}: a test reading in run.json is damaged: {error!r}"
            ) from None
        found.append(
            Measured("test accuracy", x, y, compare_noise.binomial_noise(errors, kind, counts))
        )
    return found


def identical(a: ModelRecord, b: ModelRecord, curves: Curves | None, weights: bool | None) -> bool:
    """Whether all that is recorded of both came out the same to the last bit.

    Their figures alone do not show it: reports or weights must be there.
    """
    return (
        compare.same_images(a, b)
        and a.metrics.keys() == b.metrics.keys()
        and all(compare.same(value, b.metrics[name]) for name, value in a.metrics.items())
        and (weights if curves is None else curves.identical and weights is not False) is True
    )


def judge(
    measured: list[Measured],
    *,
    tolerance: float | None,
    all_the_same: bool,
    curves: Curves | None,
    weights: bool | None,
    same_images: bool,
) -> Verdict:
    """Return the verdict.

    Args:
        measured: from ``measure``.
        tolerance: percentage points, >= 0; None: what the noise allows.
        all_the_same: from ``identical``.
        curves: from ``compare.curves``.
        weights: from ``compare.same_weights``.
        same_images: from ``compare.same_images``.
    """
    if all_the_same and all(one.points == 0 for one in measured):
        what = ["every figure"]
        what += [f"all {curves.common} reports"] if curves else []
        what += ["all weights"] * (weights is True)
        listed = " and ".join(", ".join(what).rsplit(", ", 1))
        return Verdict(True, f"identical: {listed} are the same to the last bit")
    outside = [one for one in measured if not _passes(one, tolerance)]
    worst = max(outside or measured, key=lambda one: (abs(one.points), one.name))
    said = _say(worst, tolerance, equal=not outside)
    if not same_images:
        said += "; A and B were judged on different images"
    return Verdict(not outside, said)


def _passes(one: Measured, tolerance: float | None) -> bool:
    allowed = tolerance
    if allowed is None:
        allowed = 100 * one.noise.allowed if one.noise else 0.0
    return abs(one.points) <= allowed + _ROUNDING


def _say(one: Measured, tolerance: float | None, *, equal: bool) -> str:
    what = f"the {one.name} is the same, but not all figures are to the last bit"
    if one.points:
        higher = "B" if one.points > 0 else "A"
        what = f"the {one.name} differs by {abs(one.points):.3f} points ({higher} is higher)"
    bound = f"{100 * one.noise.allowed:.3f}" if one.noise else ""
    inside = one.noise is not None and _passes(one, None)
    if not one.points:
        noise = ""
    elif one.noise is None:
        noise = "; nothing is recorded that tells how much of it is noise"
    elif inside:
        noise = (
            f", which is inside the noise (up to {bound} points): one training each cannot show a"
            " difference so small"
        )
    else:
        noise = f", which is more than noise makes in 19 cases of 20 ({bound} points)"
    if tolerance is not None:
        head = f"{'equal within' if equal else 'outside'} the tolerance of {tolerance:g} points"
    elif not one.points:
        head = "equal"
    elif equal:
        head = "no difference shown"
    else:
        head = "different"
    return f"{head}: {what}{noise}"
