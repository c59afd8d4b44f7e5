"""What a study will be able to tell apart, said before its first trial."""

import math
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from mnist_core.errors import UserError
from studies.analysis import stored_study
from studies.planning.plan import Plan
from studies.statistics.power import ASKED, MOST_SEEDS, power, seeds_needed

DIFFERENCE = 0.005
"""The difference of accuracies that is asked for: half a point."""
USUAL_SD = 0.002
"""Standard deviation of an accuracy over seeds where no confirmation is known: .2 points.

In optim_search, 9 choices on MNIST with 4 seeds, it was .14 points on the 5,000 confirm images.
"""


@dataclass(frozen=True, kw_only=True)
class SeedError:
    """The error of one confirmed model's accuracy.

    Attributes:
        sd: standard deviation over seeds.
        images: a choice's share in the image variance of a difference.
        source: where they come from, in words.
    """

    sd: float
    images: float
    source: str


def power_lines(plan: Plan) -> list[str]:
    """Return what the study's seeds can show; empty unless its metric is an accuracy."""
    seeds, choices = plan.confirm_seeds, len(plan.spec.choices) or plan.top
    if not plan.spec.metric.endswith("accuracy") or plan.goals.several:
        return []
    if choices < 2 or seeds < 2:
        return []
    error = _earlier(plan) or SeedError(sd=USUAL_SD, images=0.0, source="assumed")
    # The default configuration is judged with the others.
    return [power_text(seeds, choices + (plan.spec.reference is not None), error)]


def power_text(seeds: int, choices: int, error: SeedError) -> str:
    """Say how often the best choice would be found, and with how many seeds in 8 of 10 studies."""
    seen = power(seeds, DIFFERENCE, error.sd, choices, images=error.images)
    needed = seeds_needed(DIFFERENCE, error.sd, choices, images=error.images)
    said = (
        f"with {seeds} confirm seeds, a configuration that is {100 * DIFFERENCE:g} points better"
        f" than all others is shown to be the best in {_of_ten(seen)} of 10 studies"
    )
    asked = f"for {10 * ASKED:.0f} of 10, it takes"
    more = f"{asked} {needed or f'more than {MOST_SEEDS}'} seeds"
    spread = f"standard deviation over seeds: {100 * error.sd:.2g} points, {error.source}"
    return f"{said}; {more} ({spread})"


def _of_ten(share: float) -> str:
    # Rounded down: the line must not promise too much.
    return str(math.floor(10 * share)) if share >= 0.1 else "less than 1"


def _earlier(plan: Plan) -> SeedError | None:
    """Return the error that an earlier confirmation of the study has; None: there is none."""
    result = None
    # A study that cannot be read is refused later, by what needs it; --fresh does not.
    with suppress(UserError):
        if stored_study.exists(plan.location):
            result = stored_study.read(plan).result
    judged = result.verdicts.configurations if result is not None else None
    if judged is None or not judged.pool.variance > 0:  # NaN: one seed each
        return None
    return SeedError(
        sd=math.sqrt(judged.pool.variance),
        images=median(judged.images.values()) if judged.images else 0.0,
        source="from its confirmation so far",
    )
