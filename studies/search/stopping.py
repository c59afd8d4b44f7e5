"""When a search ends before its last trial: time, epochs, failures, a target, no progress.

A rule only keeps new trials from starting. Running trials finish, lost ones are run again. A
resume with a wider limit continues where the search stopped; rules of time and failures count
from the start of each run.
"""

import importlib.util
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from search_spaces.space import Space
from studies.core.attributes import FAILURE
from studies.core.trials import reason_text, tally
from studies.planning.settings import StopSettings
from studies.search.failures import is_feasible, untrained

COMPLETE = "trials_complete"
"""The rule that enough trials have run their full budget; a setting of ``search``."""

_TERMINATOR_TRIALS = 20
"""COMPLETE trials that Optuna's terminator waits for (its ``DEFAULT_MIN_N_TRIALS``)."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a search ended.

    Attributes:
        rule: the setting below ``search.stop``, or ``COMPLETE``.
        why: one clause.
        trials: number of started trials.
        planned: number of planned trials.
    """

    rule: str
    why: str
    trials: int
    planned: int

    def __str__(self) -> str:
        if self.rule == COMPLETE:
            return f"search ended after {self.trials} trials: {self.why} (search.{self.rule})"
        return (
            f"search stopped after {self.trials} of {counted(self.planned, 'trial')}: {self.why}"
            f" (search.stop.{self.rule})"
        )

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_attribute(cls, value: Any) -> "Stop | None":
        """Return what ``to_attribute`` gave; None for anything else."""
        try:
            return cls(**value) if isinstance(value, Mapping) else None
        except TypeError:
            return None


def check(settings: StopSettings, space: Space) -> None:
    """Raise a ConfigError if a rule is asked for that cannot be used on ``space``."""
    if settings.epochs and "reports_per_epoch" in map(space.setting, space.parameters):
        raise ConfigError(
            "search.stop.epochs: reports_per_epoch is searched, so the epochs of a trial are not"
            " known; use search.stop.seconds"
        )
    if not settings.regret:
        return
    branches = [name for name, parameter in space.parameters.items() if parameter.when is not None]
    if branches:
        raise ConfigError(
            "search.stop.regret: Optuna's terminator sees only parameters that every trial has, but"
            f" {', '.join(branches[:3])}{' …' if len(branches) > 3 else ''} depend on others; use"
            " search.stop.patience"
        )
    if importlib.util.find_spec("optuna.terminator") is None:
        raise ConfigError(
            f"search.stop.regret: Optuna {optuna.__version__} has no terminator any more; use"
            " search.stop.patience"
        )


class Stopping:
    """Takes the trials that end, and says when to start nothing more.

    Args:
        by_number: take these by number, not in the order in which they ended.
        reports_per_epoch: of a trial, > 0.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: StopSettings,
        direction: StudyDirection,
        trials: Iterable[FrozenTrial] = (),
        *,
        by_number: bool = False,
        reports_per_epoch: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._sign = -1.0 if direction is StudyDirection.MINIMIZE else 1.0
        self._direction = direction
        self._clock, self._began = clock, clock()
        self._reports_per_epoch = reports_per_epoch
        self._best: tuple[float, int] | None = None
        self._since_best = self._complete = 0
        self._judged, self._gain = 0, float("inf")
        self._ended, self._reasons = 0, list[str]()
        over = [trial for trial in trials if trial.state.is_finished()]
        # A trial that was carried over has no time of its end.
        for trial in sorted(
            over, key=lambda t: ("" if by_number else str(t.datetime_complete or ""), t.number)
        ):
            self._add(trial)

    def ended(self, trial: FrozenTrial) -> None:
        """Take a trial that ended in this run; an untrained one does not count."""
        if untrained(trial):
            return
        self._ended += 1
        if trial.state is TrialState.FAIL:
            failure = trial.user_attrs.get(FAILURE) or {}
            kind = failure.get("kind", "unknown")
            self._reasons.append(reason_text(kind, failure.get("message", "")))
        self._add(trial)

    def reason(self, trials: Collection[FrozenTrial], planned: int) -> Stop | None:
        """Return why to start nothing more, or None; ``trials``: all of the study."""
        rules: Mapping[str, Callable[[], str | None]] = {
            "target": self._target,
            "failed_share": self._failures,
            "patience": self._patience,
            "seconds": self._seconds,
            "epochs": lambda: self._epochs(trials),
            "regret": lambda: self._regret(trials),
        }
        for rule, judge in rules.items():
            if (why := judge()) is not None:
                return Stop(rule=rule, why=why, trials=len(trials), planned=planned)
        return None

    def _add(self, trial: FrozenTrial) -> None:
        # A failed trial says nothing about progress.
        if trial.state is TrialState.FAIL:
            return
        self._since_best += 1
        if trial.state is TrialState.COMPLETE and trial.values:
            self._complete += 1
            value = trial.values[0]
            better = self._best is None or self._sign * (value - self._best[0]) > 0
            if better and is_feasible(trial):
                self._best, self._since_best = (value, trial.number), 0

    def _target(self) -> str | None:
        target, best = self._settings.target, self._best
        if target is None or best is None or self._sign * best[0] < self._sign * target:
            return None
        return f"trial {best[1]} reached {best[0]:.6g}, the target is {target:g}"

    def _failures(self) -> str | None:
        failed, share = len(self._reasons), self._settings.failed_share
        # The first trials of a space often fail: at first a share means little.
        if not share or self._ended < self._settings.failed_after or failed < share * self._ended:
            return None
        reason, count = tally(self._reasons)[0]
        return (
            f"{failed} of this run's {counted(self._ended, 'trial')} failed, most often"
            f" ({counted(count, 'time')}) with"
            f" {reason}"
        )

    def _patience(self) -> str | None:
        patience, best = self._settings.patience, self._best
        if not patience or best is None or self._since_best < patience:
            return None
        return f"no trial of the last {self._since_best} was better than trial {best[1]}"

    def _seconds(self) -> str | None:
        seconds = self._settings.seconds
        if not seconds or self._clock() - self._began < seconds:
            return None
        return f"{seconds:g} seconds have passed"

    def _epochs(self, trials: Iterable[FrozenTrial]) -> str | None:
        limit = self._settings.epochs
        if not limit:
            return None
        used = sum(trial.last_step or 0 for trial in trials) / self._reports_per_epoch
        return f"{used:g} epochs were trained" if used >= limit else None

    def _regret(self, trials: Collection[FrozenTrial]) -> str | None:
        limit = self._settings.regret
        if not limit or self._complete < _TERMINATOR_TRIALS:
            return None
        # It takes up to a second while workers wait, so it is asked after each 5 % more trials.
        if self._complete >= self._judged * 1.05 + 1:
            self._judged = self._complete
            self._gain = _gain(trials, self._direction)
        if self._gain >= limit:
            return None
        return f"Optuna's terminator thinks that no more than {self._gain:.3g} can be gained"


def _gain(trials: Collection[FrozenTrial], direction: StudyDirection) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, and to be removed in Optuna 6
        from optuna.terminator import RegretBoundEvaluator

        evaluator = RegretBoundEvaluator(seed=0)
        return float(evaluator.evaluate(trials=list(trials), study_direction=direction))
