"""How many workers share the GPUs, by the memory that a trial was measured to need."""

from collections.abc import Sequence
from dataclasses import dataclass

CONTEXT = 768 * 1024**2
"""Bytes that a process takes of a GPU beside its tensors (CUDA's context, kernels); torch cannot
tell, measured 0.3 to 0.6 GiB on common GPUs."""

HEADROOM = 1.1
"""Trials differ: the next one may need so much more than the one that was measured."""

SPARE = 0.05
"""Share of a GPU's memory that is left alone."""


@dataclass(frozen=True, kw_only=True)
class GpuUse:
    """A GPU's memory after a trial, as its worker saw it; bytes.

    Attributes:
        total: of the GPU.
        free: of it, now.
        held: what this worker's tensors and torch's cache of memory take now.
        peak: the most they took during the trial.
    """

    total: int
    free: int
    held: int
    peak: int


def fitting(use: GpuUse) -> int:
    """Return how many workers like the one measured fit into its GPU, itself included, >= 1.

    The worker must have been the only one of ours there; what other programs hold is theirs.
    """
    ours = use.free + use.held + CONTEXT - SPARE * use.total
    return max(1, int(ours // (HEADROOM * use.peak + CONTEXT)))


def workers(use: GpuUse, *, gpus: int, most: int) -> int:
    """Return how many workers to have in all; each GPU is taken to be like the measured one.

    Args:
        use: of the first trial.
        gpus: how many there are.
        most: not more than this, but one for each GPU.
    """
    return max(gpus, min(most, gpus * fitting(use)))


class Sharing:
    """Which worker is on which GPU, and how many there are to be.

    Args:
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one a GPU, given out in turn; none: all workers
            are on the one GPU (or CPU) that this process sees.
        most: grow up to so many workers; 0: do not grow.
    """

    def __init__(self, gpus: Sequence[str], *, most: int) -> None:
        self._gpus = tuple(gpus)
        self._most = most
        self._retired: set[int] = set()

    def gpu(self, index: int) -> str | None:
        """Return the ``CUDA_VISIBLE_DEVICES`` of worker ``index``; None: that of this process."""
        return self._gpus[index % len(self._gpus)] if self._gpus else None

    def room(self, use: GpuUse, there: int) -> int:
        """Return how many workers more there is room for, the first time; later 0.

        Args:
            use: of the first trial.
            there: how many there are.
        """
        most, self._most = self._most, 0
        return max(0, workers(use, gpus=max(1, len(self._gpus)), most=most) - there) if most else 0

    def retire(self, index: int, there: int) -> bool:
        """Give worker ``index`` up for good; False: it is the last one on its GPU, and stays."""
        others = (i for i in range(there) if i != index and i not in self._retired)
        if not any(self.gpu(i) == self.gpu(index) for i in others):
            return False
        self._retired.add(index)
        return True

    def retired(self, index: int) -> bool:
        """Whether worker ``index`` was given up."""
        return index in self._retired
