"""Sentinels: a few trials that run unpruned, so that what the pruner throws away can be seen.

A sentinel is judged as every trial is. When the pruner would stop it, that is noted and the trial
goes on; from then on the other trials see it as pruned there. So the study takes the course that
it takes without sentinels, but for what the sampler learns from them.
"""

from collections.abc import Collection
from heapq import nsmallest

from studies.core.seeds import sentinel_draw
from studies.planning.plan import Plan


def sentinels(plan: Plan) -> Collection[int]:
    """Return the numbers of the trials that run unpruned, drawn by the study's seed.

    ``search.sentinels`` is how many, or below 1 the share of the trials. The default configurations
    are never pruned, so none of them is drawn. A share draws the same trials when the study is
    extended; a number of them is drawn from all trials anew, and those that ran stay what they are.
    """
    search = plan.settings.search
    candidates = range(len(plan.spec.defaults), plan.trials)
    if search.pruner == "none" or not search.sentinels:
        return ()
    if search.sentinels < 1:
        return {n for n in candidates if sentinel_draw(search.seed, n) < search.sentinels}
    return set(
        nsmallest(int(search.sentinels), candidates, key=lambda n: sentinel_draw(search.seed, n))
    )
