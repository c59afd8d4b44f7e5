"""The learning rate range test (Smith 2017, "Cyclical learning rates", section 3.3).

The suggestion is where the smoothed loss falls fastest over the logarithm of the learning rate
(Gugger 2018, "How do you find a good learning rate").
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d  # type: ignore[import-untyped]

from mnist_core import tasks
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import runtime
from mnist_core.errors import ConfigError
from mnist_core.finders.steps import Steps

LEAST_STEPS = 20  # fewer make no curve

_SMOOTHING = 1 / 40
"""Standard deviation of the Gaussian that smooths the losses, as a fraction of the whole range."""

_RUNNING = 0.8  # fraction of the old mean in the running one that decides when to stop
_DIVERGED = 4.0  # stop at this multiple of the lowest loss (Gugger's rule)


@dataclass(frozen=True, kw_only=True, eq=False)
class RangeTest:
    """The measurements of a range test, and its result."""

    lrs: NDArray[np.float64]
    losses: NDArray[np.float64]  # mean loss of each step's batch, before the step
    # the losses smoothed over the logarithm of the learning rate, without a lag
    smoothed: NDArray[np.float64]
    low: float
    high: float
    # learning rate at which the test was ended since the loss had risen; None: never
    diverged: float | None
    lower: float | None = None  # where a tenth of the whole fall is done: a cautious choice
    suggestion: float | None = None
    # where the loss is lowest, before it rises clearly for the first time
    lowest: float | None = None
    # why there is no suggestion (the three rates are None), or what makes it doubtful
    problem: str = ""


def find(
    config: TrainConfig,
    data: Data,
    *,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 200,
    on_step: Callable[[int, float, float], None] | None = None,
) -> RangeTest:
    """Do the range test with a fresh model of a resolved ``config``.

    Its learning rate, schedule and epochs are not used. ``on_step`` is called with the number of a
    step from 1, its learning rate and loss.

    Raises:
        ConfigError: as ``sweep``.
    """
    machine = runtime.resolve(config)
    session = runtime.session(machine, deterministic=config.deterministic)
    with session, tasks.blamed_on_the_model(config, data):
        step = Steps(config, data, machine)
        return sweep(lambda lr: step(lr).item(), low=low, high=high, steps=steps, on_step=on_step)


def sweep(
    step: Callable[[float], float],
    *,
    low: float,
    high: float,
    steps: int,
    on_step: Callable[[int, float, float], None] | None = None,
) -> RangeTest:
    """Call ``step(lr)``, which gives the loss before it; raise ConfigError for a wrong range."""
    # It ends early when the loss is not finite; when its running mean is four times the lowest one
    # and halfway back to the start; or when it had fallen by a third and rose a tenth above the
    # start.
    if not 0 < low < high < math.inf:
        raise ConfigError(f"the range must be 0 < low < high, but got {low:g} to {high:g}")
    if steps < LEAST_STEPS:
        raise ConfigError(f"steps must be at least {LEAST_STEPS}, but got {steps}")
    lrs, losses = np.geomspace(low, high, steps), np.empty(steps)
    running, best, diverged = 0.0, math.inf, None
    done = 0
    for i, lr in enumerate(lrs.tolist()):
        loss = step(lr)
        if not math.isfinite(loss):
            diverged = lr
            break
        losses[i], done = loss, i + 1
        if on_step is not None:
            on_step(done, lr, loss)
        running = _RUNNING * running + (1 - _RUNNING) * loss
        mean = running / (1 - _RUNNING**done)  # as if it had not started at zero
        best = min(best, mean)
        began = losses[: _first(done)].mean()
        multiple = mean > _DIVERGED * best and mean > (began + best) / 2
        # Four times the lowest may be more than a network that has lost everything has.
        undone = best < began / 1.5 and mean > 1.1 * began
        if multiple or undone:
            diverged = lr
            break
    return judge(lrs[:done], losses[:done], low=low, high=high, diverged=diverged, steps=steps)


def judge(
    lrs: NDArray[np.float64],
    losses: NDArray[np.float64],
    *,
    low: float,
    high: float,
    diverged: float | None,
    steps: int,
) -> RangeTest:
    """Find the learning rates that matter in the losses of a range test of ``steps`` steps."""
    width = max(1.0, steps * _SMOOTHING)
    result = partial(RangeTest, lrs=lrs, losses=losses, low=low, high=high, diverged=diverged)
    if len(losses) < LEAST_STEPS / 2:
        problem = f"the loss diverges at once; lower --low below {low:g}"
        return result(smoothed=losses, problem=problem)
    start = float(losses[: _first(len(losses))].mean())
    # How far it rises in the end says nothing of where it fell, and would spread into it.
    smoothed = gaussian_filter1d(np.minimum(losses, 1.5 * start), width, mode="nearest")
    bottom, clear = _first_fall(losses, smoothed, start, width)
    fall = start - smoothed[bottom]
    if not clear:
        problem = "the loss never falls clearly; raise --high, --steps or the batch size"
        if diverged is not None:
            problem = "the loss rises before it falls; lower --low, or raise the batch size"
        return result(smoothed=smoothed, problem=problem)
    slopes = np.gradient(smoothed[: bottom + 1], np.log(lrs[: bottom + 1]))
    steepest = int(slopes.argmin())
    falling = np.flatnonzero(smoothed[: steepest + 1] > start - 0.1 * fall)
    lower = int(falling[-1]) if len(falling) else 0
    problem = ""
    if lower < _first(len(lrs)):  # where it began could not be seen
        problem = f"the loss falls from the very first; lower --low below {low:g}"
    elif diverged is None and bottom == len(lrs) - 1 and slopes[-1] < slopes[steepest] / 4:
        problem = f"the loss still falls at the end; raise --high above {high:g}"
    return result(
        smoothed=smoothed,
        lower=float(lrs[lower]),
        suggestion=float(lrs[steepest]),
        lowest=float(lrs[bottom]),
        problem=problem,
    )


def write_csv(test: RangeTest, path: Path) -> None:
    """Write one line a step: its number from 1, learning rate, loss, smoothed loss."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "lr", "loss", "smoothed"])
        for i, row in enumerate(zip(test.lrs, test.losses, test.smoothed, strict=True), start=1):
            writer.writerow([i, *map(float, row)])


def write_plot(test: RangeTest, path: Path, *, title: str) -> None:
    """Draw the losses over the learning rate, and the learning rates that matter, as a PNG."""
    figure = Figure(figsize=(9.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(test.lrs, test.losses, ".", color="0.7", markersize=4, label="loss of a batch")
    axes.plot(test.lrs, test.smoothed, color="C0", linewidth=2, label="smoothed")
    for lr, name, colour, style in (
        (test.lower, "begins to fall", "C2", ":"),
        (test.suggestion, "falls fastest: suggested", "C2", "-"),
        (test.lowest, "lowest", "C1", "--"),
        (test.diverged, "diverged", "C3", "-."),
    ):
        if lr is not None:
            axes.axvline(lr, color=colour, linestyle=style, label=f"{name}, {lr:.2g}")
    axes.set_xscale("log")
    axes.set_xlim(test.low, test.high)
    start = test.losses[: _first(len(test.losses))].mean() if len(test.losses) else 1.0
    floor = min(0.0, float(test.losses.min(initial=0.0)))
    axes.set_ylim(floor, 1.6 * start if start > 0 else None)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title)
    figure.legend(loc="outside right upper", frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)


def _first_fall(
    losses: NDArray[np.float64], smoothed: NDArray[np.float64], start: float, width: float
) -> tuple[int, bool]:
    """Return where the first clear fall ends, and whether there is one."""
    # It ends where the loss is lowest before it rises by more than a quarter of the fall, and by
    # more than noise: a fall after such a rise is another network, which diverged before.
    # Of the difference of two means: the first losses', and the Gaussian's, which counts as many
    # independent ones as 2 sqrt(pi) times its standard deviation.
    counts = _first(len(losses)), 2 * math.sqrt(math.pi) * width

    def error(bottom: int) -> float:
        noise = float(np.std(losses[: bottom + 1] - smoothed[: bottom + 1]))
        return noise * math.sqrt(sum(1 / count for count in counts))

    def clear(bottom: int) -> bool:
        fall = start - smoothed[bottom]
        return bottom >= 2 and bool(fall >= max(0.05 * abs(start), 4 * error(bottom)))

    bottom = 0
    for i in range(len(smoothed)):
        rise, fall = smoothed[i] - smoothed[bottom], start - smoothed[bottom]
        if rise < 0:
            bottom = i
        elif bottom < counts[0]:  # where it began, and the noise, are not known yet
            continue
        elif rise > fall / 4 and clear(bottom) and rise > 4 * error(bottom):
            break
    return bottom, clear(bottom)


def _first(n: int) -> int:
    """Return how many of the first ``n`` losses say where the loss began."""
    return max(1, min(n, 10))
