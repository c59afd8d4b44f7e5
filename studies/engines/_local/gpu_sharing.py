"""How many workers share the GPUs, by the memory that a trial was measured to need."""

from collections.abc import Sequence
from dataclasses import dataclass

from studies.core.trials import BEFORE_TRAINING, Failure
from studies.engines._local.growth import Growth
from studies.engines._local.worker_start import unfit_error

CONTEXT = 768 * 1024**2
"""Bytes that a process takes of a GPU beside its tensors (CUDA's context, kernels); torch cannot
tell, measured 0.3 to 0.6 GiB on common GPUs."""

HEADROOM = 1.1
"""Trials differ: the next one may need so much more than the one that was measured."""

SPARE = 0.05
"""Share of a GPU's memory, and of the main memory, that is left alone."""

IN_A_ROW = 3
"""Workers in a row in one place that cannot use their device; then the place is given up."""


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

    Attributes:
        growth: whether it was of use.
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
        """Return how many workers more there is room for, the first time; later 0.

        Args:
            use: of the first trial.
            there: how many there are.
            host: bytes of main memory that a worker takes.
            free: bytes of main memory that are free.
        """
        most, self._most = self._most, 0
        if not most:
            return 0
        on_gpus = workers(use, gpus=max(1, len(self._gpus)), most=most) - there
        in_memory = int(free * (1 - SPARE) // (HEADROOM * max(1, host)))
        return max(0, min(on_gpus, in_memory))

    def fit(self, index: int) -> None:
        """Note that worker ``index`` brought a task to its end."""
        self._lost.pop(index, None)

    def unfit(self, index: int, there: int, number: int, failure: Failure) -> None:
        """Note that worker ``index`` cannot use its device, and was ended.

        It gets a successor, unless there is another worker on the same GPU, which has too little
        memory, or is for one process only. After ``IN_A_ROW`` it is given up, if there is any other
        worker. A task under which a GPU failed may be to blame, and has its own limit of retries:
        it counts once.

        Args:
            index: of the worker.
            there: how many there are.
            number: of the task that it was at.
            failure: one of ``base.UNFIT``.

        Raises:
            UserError: if it was given up, and there is no other.
        """
        lost = self._lost.setdefault(index, [])
        if failure.kind == BEFORE_TRAINING:
            if self.retire(index, there):
                return
            lost.append(number)
        elif number not in lost:
            lost.append(number)
        if len(lost) >= IN_A_ROW and not self.retire(index, there, anywhere=True):
            raise unfit_error(failure, len(lost))

    def retire(self, index: int, there: int, *, anywhere: bool = False) -> bool:
        """Give worker ``index`` up for good; False: it is the last one on its GPU, and stays.

        Args:
            index: of the worker.
            there: how many there are.
            anywhere: whether a worker on another GPU will do as the other one.
        """
        others = (i for i in range(there) if i != index and i not in self._retired)
        if not any(anywhere or self.gpu(i) == self.gpu(index) for i in others):
            return False
        self._retired.add(index)
        return True

    def retired(self, index: int) -> bool:
        """Whether worker ``index`` was given up."""
        return index in self._retired
