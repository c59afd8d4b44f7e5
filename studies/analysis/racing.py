"""Racing: confirm seeds are trained in rounds, and a candidate that has clearly lost gets no more.

After each round, from the third on, every candidate still in the race is compared with the leader
(the best mean so far) by its differences seed by seed. It is stopped if a one-sided paired t test
finds it worse at the level ``ALPHA / ((k - 1) * looks)``, where k is the number of candidates and
``looks`` the number of rounds after which one looks. This is the race with paired t tests and
Bonferroni's correction of Birattari, Stuetzle, Paquete & Varrentrapp (A Racing Algorithm for
Configuring Metaheuristics, GECCO 2002), corrected for the repeated looks as well, as Maron & Moore
do (Hoeffding Races, NIPS 1993); the same seeds for all are the blocks of Moore & Lee (ICML 1994).

Why it is conservative: the truly best candidate is stopped only if, at some look, some other one
passes that test against it. By the union bound that happens in at most ``ALPHA`` of all studies
(for normally distributed differences), whoever leads, and however often one looks.

The default configuration is never stopped: the study's claim is the difference from it.

What is stopped, and when, depends on the values and the planned seeds alone, so a race that was
interrupted is simply held again.
"""

from collections.abc import Collection, Mapping, Sequence

from studies.core.statistics import Direction, paired_difference

ALPHA = 0.05
"""Greatest probability that the best candidate is stopped."""

FIRST_LOOK = 3
"""Seeds before nobody is stopped."""


def race(
    values: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
    *,
    rounds: int,
    spared: Collection[str] = (),
    direction: Direction = "maximize",
    step: float = 0.0,
) -> dict[str, int]:
    """Hold the race over the rounds that are over.

    Args:
        values: the metric by seed, for each candidate; those of seeds of later rounds, and of a
            candidate after it was stopped, are not looked at.
        seeds: all seeds that are planned, in the order of their rounds.
        rounds: so many rounds are over.
        spared: candidates that are not stopped.
        direction: whether a larger or a smaller metric is better.
        step: the values are read in steps of it, 0: they are continuous.

    Returns:
        the candidates that are stopped, and after how many rounds each.
    """
    looks = range(FIRST_LOOK, len(seeds))  # after the last round there is nothing left to save
    if not looks or len(values) < 2:
        return {}
    level = ALPHA / ((len(values) - 1) * len(looks))
    sign = 1.0 if direction == "maximize" else -1.0
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
            if len(by_seed) == look  # a candidate of which a seed failed leads nobody
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
