"""How many workers share the GPUs, by the measured memory of a trial, and if that is faster."""

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from studies.core.trials import BEFORE_TRAINING, Failure
from studies.engines._local.worker_start import unfit_error

CONTEXT = 768 * 1024**2
"""Bytes that a process takes of a GPU beside its tensors (CUDA's context, kernels); torch cannot
tell, measured 0.3 to 0.6 GiB on common GPUs."""

HEADROOM = 1.1
"""Trials differ: the next one may need this many times the memory of the measured one."""

SPARE = 0.05
"""Fraction of a GPU's memory, and of the main memory, that is left free."""

IN_A_ROW = 3
"""Workers in a row in one place that cannot use their device; then no more start there."""

SAMPLES = 3
"""Reports of each worker that are timed: the time of a report differs by a few per cent."""


@dataclass(frozen=True, kw_only=True)
class GpuUse:
    """A GPU's memory after a trial, as its worker saw it; bytes.

    Attributes:
        free: on the GPU, now.
        held: by this worker's tensors and torch's cache of memory, now.
        peak: the most that these held during the trial.
    """

    total: int
    free: int
    held: int
    peak: int


def fitting(use: GpuUse) -> int:
    """Return the number of workers like the measured one that fit into its GPU, >= 1."""
    # The measured worker was our only one there. What other programs hold stays theirs.
    ours = use.free + use.held + CONTEXT - SPARE * use.total
    return max(1, int(ours // (HEADROOM * use.peak + CONTEXT)))


def workers(use: GpuUse, *, gpus: int, most: int) -> int:
    return max(gpus, min(most, gpus * fitting(use)))


class Sharing:
    """Which worker is on which GPU, and how many workers there are.

    Args:
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one a GPU, used in turn; none: all workers are on
            the one GPU (or CPU) that this process sees.
        most: maximum number of workers to grow to; 0: do not grow.
    """

    def __init__(self, gpus: Sequence[str], *, most: int) -> None:
        self._gpus = tuple(gpus)
        self._most = most
        self._retired: set[int] = set()
        self._lost: dict[int, list[int]] = {}
        self.growth = Growth()

    def gpu(self, index: int) -> str | None:
        """Return the ``CUDA_VISIBLE_DEVICES`` of worker ``index``; None: that of this process."""
        return self._gpus[index % len(self._gpus)] if self._gpus else None

    def room(self, use: GpuUse, there: int, *, host: int, free: int) -> int:
        """Return the number of workers to add to ``there``, the first time; later 0."""
        most, self._most = self._most, 0
        if not most:
            return 0
        on_gpus = workers(use, gpus=max(1, len(self._gpus)), most=most) - there
        in_memory = int(free * (1 - SPARE) // (HEADROOM * max(1, host)))
        return max(0, min(on_gpus, in_memory))

    def fit(self, index: int) -> None:
        self._lost.pop(index, None)

    def unfit(self, index: int, there: int, number: int, failure: Failure) -> None:
        """Note that worker ``index`` of ``there`` cannot use its device, and was ended.

        Raises:
            UserError: if it is not replaced, and was the last one.
        """
        # It is replaced, unless another worker is on the same GPU: then the GPU has too little
        # memory, or allows one process only.
        lost = self._lost.setdefault(index, [])
        if failure.kind == BEFORE_TRAINING:
            if self.retire(index, there):
                return
            lost.append(number)
        # A task under which a GPU failed may be to blame, and has its own limit of retries.
        elif number not in lost:
            lost.append(number)
        if len(lost) >= IN_A_ROW and not self.retire(index, there, anywhere=True):
            raise unfit_error(failure, len(lost))

    def retire(self, index: int, there: int, *, anywhere: bool = False) -> bool:
        """Retire worker ``index`` of ``there``; False: it is the last one on its GPU, and stays.

        With ``anywhere`` it may be the last one on its GPU, but not of all.
        """
        others = (i for i in range(there) if i != index and i not in self._retired)
        if not any(anywhere or self.gpu(i) == self.gpu(index) for i in others):
            return False
        self._retired.add(index)
        return True

    def retired(self, index: int) -> bool:
        return index in self._retired


class Growth:
    """Compares the reports per second of all workers before and after workers were added."""

    def __init__(self) -> None:
        # Times between two reports, not of trials: many of these are pruned.
        self._alone = deque[float](maxlen=64)
        self._together: list[float] = []
        self._before = self._after = 0

    def grown(self, before: int, after: int) -> None:
        self._before, self._after = before, after

    def reported(self, seconds: float, *, crowded: bool) -> int:
        """Take the seconds since a worker's last report; return how many workers to keep, 0: all.

        ``crowded``: whether all workers were busy, and had loaded their data.
        """
        if not self._after:
            self._alone.append(seconds)
        elif crowded and self._alone:
            self._together.append(seconds)
            if len(self._together) >= SAMPLES * self._after:
                return self._judge()
        return 0

    def _judge(self) -> int:
        alone, together = map(statistics.median, (self._alone, self._together))
        before, slower = self._before, self._after / together <= self._before / alone
        self._alone.clear()  # judged once
        return before if slower else 0
