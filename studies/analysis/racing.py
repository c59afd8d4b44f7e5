"""Racing: confirm seeds are trained in rounds, and a candidate that has clearly lost gets no more.

After each round, from the third on, each candidate is compared with the leader seed by seed. It is
stopped if a one-sided paired t test finds it worse at the level ``ALPHA / ((k - 1) * looks)`` for k
candidates: Birattari, Stuetzle, Paquete & Varrentrapp (GECCO 2002), corrected for repeated looks as
in Maron & Moore (Hoeffding Races, NIPS 1993). By the union bound the truly best candidate is
stopped in at most ``ALPHA`` of all studies (for normal differences), whichever leads.

The outcome depends on the values and the planned seeds alone, so an interrupted race is repeated.
"""

from collections.abc import Collection, Mapping, Sequence

from studies.statistics.intervals import Direction, paired_difference, sign_of

ALPHA = 0.05
"""Greatest probability that the best candidate is stopped."""

FIRST_LOOK = 3
"""With fewer seeds no candidate is stopped."""


def race(
    values: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
    *,
    rounds: int,
    spared: Collection[str] = (),
    direction: Direction = "maximize",
    step: float = 0.0,
) -> dict[str, int]:
    """Return the candidates that are stopped, and after how many rounds each.

    Args:
        values: the metric by seed, for each candidate.
        seeds: all planned seeds, in the order of their rounds.
        rounds: the number of finished rounds.
        spared: candidates that are never stopped, as the default: the study's claim is about it.
        direction: of the metric.
        step: the values are read in steps of it; 0: they are continuous.
    """
    looks = range(FIRST_LOOK, len(seeds))  # after the last round there is nothing left to save
    if not looks or len(values) < 2:
        return {}
    level = ALPHA / ((len(values) - 1) * len(looks))
    sign = sign_of(direction)
    stopped: dict[str, int] = {}
    for look in looks:
        if look > rounds:
            break
        seen = {
            candidate: {seed: by_seed[seed] for seed in seeds[:look] if seed in by_seed}
            for candidate, by_seed in values.items()
            if candidate not in stopped
        }
        means = {
            candidate: sign * sum(by_seed.values()) / len(by_seed)
            for candidate, by_seed in seen.items()
            if len(by_seed) == look  # a candidate that failed on a seed does not lead
        }
        if not means:
            continue
        leader = max(means, key=means.__getitem__)
        for candidate, by_seed in seen.items():
            if candidate == leader or candidate in spared:
                continue
            gap = paired_difference(seen[leader], by_seed, confidence=1 - 2 * level, step=step)
            if gap is None or gap.n < FIRST_LOOK:
                continue
            if (gap.low if sign > 0 else -gap.high) > 0:
                stopped[candidate] = look
    return stopped
