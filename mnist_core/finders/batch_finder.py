"""The largest batch that fits into memory, and the one that trains most images a second."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from mnist_core.finders.isolated import OutOfMemory

RESOLUTION = 16  # the largest size is found to a 16th of itself
NEARLY = 0.05  # sizes whose speed is within this share of the best count as equally fast
UNSTEADY = 0.25  # from this spread on, speeds 5 % apart cannot be told from each other


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Some steps of a training."""

    images: int  # how many it was trained on while the clock ran
    seconds: float
    peak: int  # bytes of memory at most


class Measure(Protocol):
    """How a batch size is tried; ``isolated.Isolated`` of ``measure`` is one."""

    def __call__(self, batch_size: int, seconds: float, /) -> Measured:
        """Train for about ``seconds``, at least one step; raise ``OutOfMemory`` if it cannot."""
        ...

    def close(self) -> None:
        """Forget everything: the next call begins with empty memory."""
        ...


@dataclass(kw_only=True)
class Size:
    """What is known of a batch size."""

    batch_size: int
    peak: int | None  # bytes of memory at most; None: it does not fit
    # images a second, one a round; none if it was not timed
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of the rates."""
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """How far apart the highest and the lowest rate are, as a fraction of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of the search."""

    sizes: list[Size]
    largest: int
    limited: bool  # whether memory is what limits it; if not, it is the end of the range
    fastest: int
    suggestion: int  # the smallest that is nearly as fast; smaller batches take more steps

    @property
    def spread(self) -> float:
        """Median spread of the sizes that were timed."""
        return statistics.median(size.spread for size in self.sizes if size.rates)

    @property
    def unsteady(self) -> bool:
        """Whether the speeds varied so much that ``fastest`` and ``suggestion`` are doubtful."""
        return self.spread > UNSTEADY


def find(
    measure: Measure,
    *,
    low: int,
    high: int,
    seconds: float,
    repeats: int,
    memory_limit: int | None = None,
    on_progress: Callable[[str, str, float], None] | None = None,
) -> Found:
    """Find the largest and the fastest batch size between ``low`` and ``high``.

    Args:
        memory_limit: bytes that a size may take at its peak; None: whatever ``measure`` allows.
        on_progress: called with the stage, what is tried next, and the finished fraction.

    Raises:
        ConfigError: if the range is empty, or ``low`` does not fit.
    """
    if not 1 <= low <= high:
        raise ConfigError(f"the range must be 1 <= low <= high, but got {low} to {high}")
    if repeats < 1 or seconds <= 0:
        raise ConfigError(f"repeats and seconds must be positive, but got {repeats}, {seconds:g}")
    say = on_progress or (lambda stage, tried, share: None)
    known: dict[int, Size] = {}

    def fits(batch_size: int) -> bool:
        # About eight doublings, as many bisections at most; the share is a guess.
        say("what fits into memory", f"a batch of {batch_size:,}", min(0.5, len(known) / 24))
        peak: int | None
        try:
            peak = measure(batch_size, 0.0).peak
        except OutOfMemory:
            peak = None
        if peak is not None and memory_limit is not None and peak > memory_limit:
            peak = None  # too briefly to be seen
        measure.close()  # what a size leaves behind must not count for the next
        known[batch_size] = Size(batch_size=batch_size, peak=peak)
        return peak is not None

    largest = find_largest(fits, low=low, high=high)
    if largest is None:
        raise ConfigError(f"not even a batch of {low:,} fits into memory; choose a smaller --low")
    timed = [n for n in doublings(low, high) if n < largest] + [largest]
    for k in range(repeats):
        for i, batch_size in enumerate(list(timed)):
            done = (k * len(timed) + i) / (repeats * len(timed))
            say(f"round {k + 1} of {repeats}", f"batches of {batch_size:,}", 0.5 + done / 2)
            try:
                measured = measure(batch_size, seconds)
            except OutOfMemory:
                # It fitted alone, but not into the memory that others left behind.
                timed.remove(batch_size)
                known[batch_size].rates.clear()
                continue
            known[batch_size].rates.append(measured.images / measured.seconds)
    measure.close()
    if not timed:
        raise ConfigError("no batch size could be timed: memory ran out; choose a smaller --low")
    rates = {n: known[n].rate for n in timed}
    return Found(
        sizes=[known[n] for n in sorted(known)],
        largest=largest,
        limited=any(size.peak is None for size in known.values()),
        fastest=max(rates, key=rates.__getitem__),
        suggestion=suggest(rates),
    )


def doublings(low: int, high: int) -> list[int]:
    """Return ``low``, twice that, and so on, and ``high`` at the end."""
    sizes = [low]
    while sizes[-1] < high:
        sizes.append(min(2 * sizes[-1], high))
    return sizes


def find_largest(fits: Callable[[int], bool], *, low: int, high: int) -> int | None:
    """Return the largest size for which ``fits`` holds, to a 16th; None: not even ``low``.

    What is more than a size that does not fit is never tried.
    """
    largest, too_large = None, None
    for size in doublings(low, high):
        if not fits(size):
            too_large = size
            break
        largest = size
    while largest and too_large and too_large - largest > max(1, largest // RESOLUTION):
        middle = (largest + too_large) // 2
        if fits(middle):
            largest = middle
        else:
            too_large = middle
    return largest


def suggest(rates: dict[int, float]) -> int:
    """Return the smallest batch size whose rate is within 5 % of the best one."""
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= (1 - NEARLY) * best)


def measure(config: TrainConfig, memory_share: float, batch_size: int, seconds: float) -> Measured:
    """Train a fresh model of ``config`` for about ``seconds``; to be called in its own process.

    ``memory_share`` is how much of a GPU's free memory may be taken; on a CPU the caller limits the
    process. The clock is stopped after the step that reaches ``seconds``.
    """
    import torch

    from mnist_core.data import load
    from mnist_core.device import memory, runtime
    from mnist_core.finders.steps import Steps

    config = config.model_copy(update={"batch_size": batch_size})
    machine = runtime.resolve(config)
    on_gpu = machine.device.type == "cuda"
    if on_gpu:
        free, total = torch.cuda.mem_get_info(machine.device)
        free += torch.cuda.memory_reserved(machine.device)  # by an earlier call
        torch.cuda.set_per_process_memory_fraction(
            min(1.0, memory_share * free / total), machine.device
        )

    def finish() -> None:
        if on_gpu:
            torch.cuda.synchronize(machine.device)

    data = load(config.data, config.device)
    with runtime.session(machine, deterministic=config.deterministic):
        memory.reset_peak(machine.device)
        step = Steps(config, data, machine)
        for _ in range(2):  # the optimizer's state is there after the first
            step()
        finish()
        before, began, elapsed, steps = step.seen, time.perf_counter(), 0.0, 1
        while True:
            for _ in range(steps):
                step()
            finish()
            elapsed = time.perf_counter() - began
            if elapsed >= seconds:
                break
            # To wait for the GPU after every step would slow small ones down.
            steps = 2 * steps if on_gpu else 1
        return Measured(
            images=step.seen - before, seconds=elapsed, peak=memory.peak(machine.device)
        )
