"""The checks before the first trial, in the workers, which keep the data that they load here.

So the supervisor need not import torch, which takes longer than the rest of a study's start.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence

from objectives.preparation import Preparation
from studies.core.formatting import duration


def estimate(trainings: float, found: Sequence[Preparation]) -> Iterator[str]:
    """Yield what a trial and the whole study will take, if it is known.

    ``trainings``: those of the study, divided by the number of workers.
    """
    if found and found[0].parameters:
        yield describe(trainings, found)
    elif found and (times := found[0].seconds):
        whole = duration(statistics.fmean(times) * trainings)
        yield (
            f"estimate, by the objective's cost: the study takes up to {whole}, less what is"
            f" pruned; a trial {_range(times, duration)}"
        )


def describe(trainings: float, found: Sequence[Preparation]) -> str:
    """Return in one line what a training and the whole study will take.

    ``trainings``: those of the study, divided by the number of workers.
    """
    times = [statistics.median(of_one) for of_one in zip(*(w.seconds for w in found), strict=True)]
    an_epoch = [time / n for time, n in zip(times, found[0].epochs, strict=True)]
    whole = duration(statistics.fmean(times) * trainings)
    which, end, study = "one training", "", f"up to {whole}"
    if found[0].others:
        which, study = "a default training", f"{whole} if all train like the defaults"
    largest = found[0].largest
    most = statistics.median([one.largest.seconds for one in found if one.largest] or [0.0])
    if largest is not None and most > max(times):
        end = f"; the largest of the space: {duration(most)}, {largest.parameters:,} parameters"
        study += f", up to {duration(most * trainings)} if all train like the largest"
    return (
        f"estimate, from two steps each: the study takes {study}, less what is pruned; {which}"
        f" {_range(times, duration)} ({_range(an_epoch, duration)} an epoch),"
        f" {_range(found[0].parameters, '{:,}'.format)} parameters,"
        f" {_range([flops / 1e6 for flops in found[0].flops], '{:,.3g}'.format)} MFLOP a sample,"
        f" {max(one.memory for one in found) / 2**30:.1f} GiB a worker{end}"
    )


def _range(values: Sequence[float], write: Callable[[float], str]) -> str:
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low} to {high}"
