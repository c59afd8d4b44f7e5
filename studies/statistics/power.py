"""What a study will be able to see, before it is run."""

import math

import numpy as np

from studies.statistics.quantiles import normal_nodes, scale_nodes, t_upper
from studies.statistics.verdicts import LEVEL, look_share

MOST_SEEDS = 64
"""More seeds than this are not proposed."""
ASKED = 0.8
"""Share of studies that should see the difference."""


def power(seeds: int, difference: float, sd: float, choices: int, *, images: float = 0.0) -> float:
    """Return the probability that the best choice is declared the only best one.

    All other choices are taken to be equally good, ``difference`` below it, which is the hardest
    case. Integrated exactly for normal values; the verdict is that on configurations.

    Args:
        seeds: of each choice, >= 2.
        difference: > 0, in the unit of the metric.
        sd: standard deviation over seeds, > 0.
        choices: >= 2.
        images: a choice's share in the image variance of a difference, see ``crossed.py``.
    """
    from scipy import special  # type: ignore[import-untyped]

    if seeds < 2 or choices < 2 or sd <= 0:
        raise ValueError(f"needs seeds, choices >= 2, sd > 0, but got {seeds}, {choices}, {sd}")
    z, normal = normal_nodes()
    mine, chi_mine = scale_nodes(float(seeds - 1))
    rest, chi_rest = scale_nodes(float((choices - 1) * (seeds - 1)))
    own = mine[:, None] ** 2
    pooled = (own + (choices - 1) * rest[None, :] ** 2) / choices
    # The leader is judged by its own variance where that is larger than the pooled one.
    error = np.sqrt((np.maximum(own, pooled) + pooled) * sd**2 / seeds + 2 * images)
    times = t_upper(choices * (seeds - 1), LEVEL * look_share(seeds) / 2)
    true = math.sqrt(sd**2 / seeds + images)
    lead = z + ((difference - times * error) / true)[:, :, None]
    seen = special.ndtr(lead) ** (choices - 1) @ normal
    return float(chi_mine @ seen @ chi_rest)


def seeds_needed(
    difference: float, sd: float, choices: int, *, images: float = 0.0, asked: float = ASKED
) -> int | None:
    """Return the smallest number of seeds with which the difference is seen in ``asked`` studies.

    Returns:
        None if ``MOST_SEEDS`` are not enough, as where the images' part is too large.
    """
    for seeds in range(2, MOST_SEEDS + 1):
        if power(seeds, difference, sd, choices, images=images) >= asked:
            return seeds
    return None
