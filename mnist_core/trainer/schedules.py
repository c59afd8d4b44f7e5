"""What happens at which step: the learning rate as a factor on ``optim.lr``, the reports."""

import math

from mnist_core.config import ScheduleConfig, TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError

_START = 1 / 25
_END = 1 / 25 / 1e4


def factor(config: ScheduleConfig, step: int, *, total_steps: int, steps_per_epoch: int) -> float:
    """Return the factor of ``optim.lr``, 0 to 1, at ``step``, 0 <= step < total_steps.

    ``one_cycle`` is torch's OneCycleLR with its defaults (from 1/25 up to 1, down to 1/250,000,
    both along a cosine; Smith & Topin, arXiv 1708.07120) without the cycling of momentum.
    ``cosine`` is SGDR without restarts (arXiv 1608.03983).
    """
    warmup_steps = round(config.warmup * total_steps)
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warm * _shape(config, step, total_steps, steps_per_epoch)


def report_steps(config: TrainConfig, per_epoch: int) -> frozenset[int]:
    """Return the steps, from 1, before a validation; raise ConfigError if there are too few."""
    reports = config.reports_per_epoch
    if reports > per_epoch:
        raise ConfigError(
            f"reports_per_epoch: {reports} is more than the {counted(per_epoch, 'step')} of an"
            " epoch"
        )
    within = [-(-per_epoch * k // reports) for k in range(1, reports + 1)]
    return frozenset(e * per_epoch + k for e in range(config.epochs) for k in within)


class Plateau:
    """``plateau``: the rate falls by a factor when the validation loss no longer falls.

    The same as torch's ReduceLROnPlateau in its mode ``min`` with its defaults.
    """

    def __init__(self, config: ScheduleConfig, lr: float) -> None:
        self._config = config
        self.start_from(lr)
        self.factor, self.best, self.bad = 1.0, math.inf, 0  # factor: of the schedule's rate

    def start_from(self, lr: float) -> None:
        """Be a factor of ``lr`` from now on."""
        self._least = self._config.min_lr / lr

    def report(self, loss: float) -> None:
        """Take in a validation loss."""
        if self._config.name != "plateau":
            return
        if loss < self.best * (1 - 1e-4):  # as torch: lower by more than 1e-4 of itself
            self.best, self.bad = loss, 0
            return
        self.bad += 1
        if self.bad > self._config.patience:
            self.factor = max(self.factor * self._config.factor, min(self._least, self.factor))
            self.bad = 0


def _shape(config: ScheduleConfig, step: int, total_steps: int, steps_per_epoch: int) -> float:
    match config.name:
        case "constant":
            return 1.0
        case "step":
            return config.gamma ** (step // (config.step_epochs * steps_per_epoch))
        case "cosine":
            return _cosine(1.0, config.final, step / total_steps)
        case "one_cycle":
            top = max(0.0, config.peak * total_steps - 1)
            if step < top:
                return _cosine(_START, 1.0, step / top)
            return _cosine(1.0, _END, (step - top) / max(total_steps - 1 - top, 1.0))
        case "plateau":  # what the trainer lowers it by comes on top
            return 1.0


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
