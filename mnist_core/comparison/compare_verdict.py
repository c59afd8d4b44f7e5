"""One sentence on two trained models: identical, equal, inside the noise, or different."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnist_core.comparison import compare, compare_noise
from mnist_core.comparison.compare import Curves
from mnist_core.comparison.compare_noise import Noise
from mnist_core.comparison.model_record import ACCURACY, ModelRecord
from mnist_core.comparison.spread import Outcome, Verdict, difference, outcome_of
from mnist_core.errors import UserError

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
        return 100 * difference(self.a, self.b)


def measure(
    a: ModelRecord, b: ModelRecord, noise: Noise | None, readings: Readings | None
) -> list[Measured]:
    """Return the accuracies that are judged: validation, and test if both were read.

    Raises:
        UserError: if a reading is damaged.
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
    """Return whether all records of both are the same to the last bit.

    Their figures alone do not show it: reports or weights must be there.
    """
    return (
        compare.same_images(a, b)
        and a.metrics.keys() == b.metrics.keys()
        and all(compare.same(value, b.metrics[name]) for name, value in a.metrics.items())
        and (weights if curves is None else curves.identical and weights is not False) is True
    )


def judge(
    a: ModelRecord,
    b: ModelRecord,
    measured: list[Measured],
    *,
    curves: Curves | None = None,
    weights: bool | None = None,
    tolerance: float | None = None,
) -> Verdict:
    """Return the verdict; ``tolerance`` is percentage points, None: what the noise allows."""
    if identical(a, b, curves, weights) and all(one.points == 0 for one in measured):
        what = ["every figure"]
        what += [f"every report ({curves.common})"] if curves else []
        what += ["all weights"] * (weights is True)
        listed = " and ".join(", ".join(what).rsplit(", ", 1))
        return Verdict("identical", f"{listed} are the same to the last bit")
    only_the_seed = compare.only_the_seed(a, b)
    outcomes = {one.name: _outcome(one, tolerance, only_the_seed) for one in measured}
    outside = [one for one in measured if outcomes[one.name] == "different"]
    worst = max(outside or measured, key=lambda one: (abs(one.points), one.name))
    outcome = outcomes[worst.name]
    said = _bound(worst, tolerance, outcome) + _what(worst)
    if worst.points:
        said += _against_noise(worst, only_the_seed)
    if not compare.same_images(a, b):
        said += "; A and B were judged on different images"
    return Verdict(outcome, said)


def _outcome(one: Measured, tolerance: float | None, only_the_seed: bool = False) -> Outcome:
    if tolerance is not None:
        return outcome_of(one.points, one.points, tolerance)
    if not one.points:
        return "equal"
    if only_the_seed:
        return "no difference shown"  # whatever it is, seeds made it
    allowed = 100 * one.noise.allowed if one.noise else 0.0
    return outcome_of(one.points - allowed, one.points + allowed)


def _bound(one: Measured, tolerance: float | None, outcome: Outcome) -> str:
    if tolerance is not None:
        side = "within" if outcome == "equal" else "outside"
        return f"{side} the tolerance of {tolerance:g} points, as "
    by_images = one.noise is not None and not one.noise.of_seeds
    return "as far as the number of images tells, " if outcome == "different" and by_images else ""


def _what(one: Measured) -> str:
    if not one.points:
        return f"the {one.name} is the same, but not all figures are to the last bit"
    higher = "B" if one.points > 0 else "A"
    return f"the {one.name} differs by {abs(one.points):.3f} points ({higher} is higher)"


def _against_noise(one: Measured, only_the_seed: bool) -> str:
    if only_the_seed:
        said = "; nothing but the seed differs, so this is seed noise itself"
        if one.noise and one.noise.of_seeds and _outcome(one, None) == "different":
            said += f", if more than other seeds let expect ({100 * one.noise.allowed:.3f} points)"
        return said
    if one.noise is None:
        return "; nothing is recorded that tells how much of it is noise"
    bound = f"{100 * one.noise.allowed:.3f} points"
    if _outcome(one, None) != "different":
        return (
            f", which is inside the noise (up to {bound}): one training each cannot show a"
            " difference so small"
        )
    if one.noise.of_seeds:
        return f", which is more than seeds make in 19 cases of 20 ({bound})"
    return (
        f", which is more than that number of images makes in 19 cases of 20 ({bound});"
        " how much seeds make is not recorded: train some of both"
    )
