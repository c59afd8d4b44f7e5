"""The full curves of a study, with which pruners are audited."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from studies.core.attributes import PAUSE, SECONDS, WOULD_PRUNE
from studies.core.goals import Goals
from studies.spec import StudySpec
from studies.storage.location import StudyLocation
from studies.storage.url import shown


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A trial that ran its full budget.

    Attributes:
        reports: step and value, in order; one or more.
        exempt: whether it is never pruned, as the default configurations.
        stopped: whether it is a sentinel that the study's own pruner would have stopped.
    """

    number: int
    choice: str
    reports: tuple[tuple[int, float], ...]
    value: float
    seconds: float
    exempt: bool = False
    stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The full curves of a study, and the number of trials that its pruner stopped."""

    full: tuple[Curve, ...]
    pruned: int
    workers: int
    direction: StudyDirection

    @property
    def kept(self) -> tuple[Curve, ...]:
        """Curves that the study's own pruner would not have stopped, without the defaults."""
        return tuple(c for c in self.full if not c.exempt and not c.stopped)

    @property
    def stopped(self) -> tuple[Curve, ...]:
        """Curves of sentinels that the study's own pruner would have stopped."""
        return tuple(c for c in self.full if c.stopped)

    def best(self, values: Sequence[float]) -> float:
        """Return the best of ``values``."""
        return max(values) if self.direction is StudyDirection.MAXIMIZE else min(values)


def read_curves(location: StudyLocation, spec: StudySpec, goals: Goals) -> Curves:
    """Read the full curves of a study's search.

    Raises:
        UserError: if there is no such study, or it has several objectives, or as ``collect``.
    """
    with location.opened(required=True) as studies:
        if studies.search is None:
            raise UserError(f"there is no study {location.name!r} in {shown(location.url)}")
        trials = studies.search.get_trials(deepcopy=False)
    if goals.several:
        raise UserError(
            f"study {location.name} has several objectives, and its pruner compares a trial with"
            " those of no more parameters only; an audit replays curves of one objective"
        )
    return collect(location.name, spec, trials)


def collect(study: str, spec: StudySpec, trials: Sequence[FrozenTrial]) -> Curves:
    """Return the full curves among ``trials``, which are all of the search of ``study``.

    Raises:
        UserError: if there are none but the defaults, or trials report once only.
    """
    _check_reports(study, spec, trials)
    full = tuple(
        Curve(
            number=trial.number,
            choice=str(trial.params.get(spec.scientific)),
            reports=tuple(sorted(trial.intermediate_values.items())),
            value=trial.value,
            seconds=_seconds(trial),
            exempt=trial.number < len(spec.defaults),
            stopped=WOULD_PRUNE in trial.system_attrs,
        )
        for trial in trials
        if trial.state is TrialState.COMPLETE
        and trial.intermediate_values
        and trial.value is not None
    )
    curves = Curves(
        full=full,
        pruned=sum(trial.state is TrialState.PRUNED for trial in trials),
        workers=_workers(trials),
        direction=StudyDirection[spec.direction.upper()],
    )
    if not curves.kept:
        raise UserError(
            f"study {study} has nothing to replay: no trial, the defaults apart, was exempt from"
            " pruning and ran its full budget; run the study with search.sentinels=0.2 or"
            " search.pruner=none first"
        )
    return curves


def _check_reports(study: str, spec: StudySpec, trials: Sequence[FrozenTrial]) -> None:
    """Raise UserError if no complete trial reports before its end: then no advice would help."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    most = max((len(trial.intermediate_values) for trial in complete), default=2)
    if most >= 2:
        return
    said = "report once, at their end" if most else "report nothing"
    mend = (
        "raise epochs or reports_per_epoch"
        if spec.own is None
        else f"to have trials stopped early, call report(step, value) in {spec.label}"
    )
    raise UserError(f"the trials of study {study} {said}, so no pruner can save anything; {mend}")


def _seconds(trial: FrozenTrial) -> float:
    seconds = trial.user_attrs.get(SECONDS)
    if seconds is None and trial.datetime_start and trial.datetime_complete:
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    return float(seconds or 0.0) or 1.0  # never 0: shares of the time are divided by it


def _workers(trials: Sequence[FrozenTrial]) -> int:
    changes = []
    for trial in trials:
        # One that was paused did not run all the time.
        if PAUSE not in trial.user_attrs and trial.datetime_start and trial.datetime_complete:
            changes += [(trial.datetime_start, 1), (trial.datetime_complete, -1)]
    running = most = 0
    for _, change in sorted(changes):  # at one time, ends (-1) come before starts
        running += change
        most = max(most, running)
    return max(1, most)
