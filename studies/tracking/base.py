"""What a tracker is: a listener that keeps a study somewhere where people look at it.

A tracker runs in a process of its own (``python -m studies.tracking``), which reads the study's
event log. The study never waits for it; one that raises, hangs or is killed harms nothing, and what
it missed is written by the next one, or by ``python -m studies sync``.

What it writes for a trial it writes under a name that follows from study, phase and number. So a
trial that an earlier process has left half done can be begun anew, and is there once in the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from studies.planning.tracking_settings import TrackingSettings

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report of a trial.

    Attributes:
        step: from 1, normally the epoch.
        seconds: since the trial was begun.
        time: seconds after 1970.
        metrics: by name; what was not finite is left out.
    """

    step: int
    seconds: float
    time: float
    metrics: Mapping[str, float]


@dataclass(kw_only=True)
class Trial:
    """One trial as its events have told it so far.

    Attributes:
        phase: search, confirm or test; in ``test`` it is a confirmed model's reading.
        number: from 0 in each phase; in ``test`` that of the confirm trial.
        params: hyperparameters; those that were active.
        config: resolved settings of the trainer that differ from the study's, by dotted name;
            None: it has no such setting.
        seed: of the training.
        began: seconds after 1970.
        reports: in order, each step once.
        state: what became of it.
        value: the study's metric at the end.
        metrics: all metrics of the end.
        seconds: wall time, or None.
        attributes: what the objective left: device, confusion matrix …
        failure: kind and message, of a failed one.
        ended: seconds after 1970; 0: it runs.
    """

    phase: str
    number: int
    params: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    began: float = 0.0
    reports: list[Report] = field(default_factory=list)
    state: State = "running"
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    ended: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        """Phase and number."""
        return self.phase, self.number


@dataclass(kw_only=True)
class Study:
    """A study as its events have told it so far.

    Attributes:
        id: random, made with the log: tells apart studies of one name.
        name: of the study.
        about: the data of its latest ``study`` event, see ``studies/tracking/recording.py``.
        trials: all that ended or run, by phase and number.
        result: the data of its latest ``result`` event; empty: it is not finished.
    """

    id: str
    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    trials: dict[tuple[str, int], Trial] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Name of the metric that is searched for."""
        return str(self.about.get("metric", "value"))

    @property
    def maximize(self) -> bool:
        """Whether a greater value is better."""
        return bool(self.about.get("direction", "maximize") == "maximize")

    def title_of(self, trial: Trial) -> str:
        """Return what a trial is called where people read it, e.g. ``search 12 adam``."""
        choice = trial.params.get(str(self.about.get("scientific", "")), "")
        return f"{trial.phase} {trial.number} {choice}".rstrip()

    def config_of(self, trial: Trial) -> dict[str, Any]:
        """Return all resolved settings of the trainer for ``trial``, by dotted name."""
        settings = {**self.about.get("train", {}), **trial.config}
        return {name: value for name, value in settings.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a tracker is given.

    Attributes:
        folder: the study's, absolute.
        settings: ``[tracking]``.
        say: gets a line about what a person should know.
        sync: the command that sends what is kept here.
    """

    folder: Path
    settings: TrackingSettings
    say: Callable[[str], object]
    sync: str


class Tracker(Protocol):
    """Called in one process, one call at a time. Whatever it raises is its own trial's loss only.

    For each trial that it has not kept yet: ``begin``, ``report`` …, then ``end``, or ``abandon``
    where the log ends first. For each trial of all that ended, also those kept by an earlier
    process, in the order of their ends: ``progress``. At the end ``conclude``, once.
    """

    def begin(self, study: Study, trial: Trial) -> None:
        """Begin to keep ``trial``; what an earlier process has of it is replaced."""
        ...

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Keep one of its reports."""
        ...

    def end(self, study: Study, trial: Trial) -> None:
        """Keep how it ended, and let it go; when this returns it is safe from a kill."""
        ...

    def abandon(self, trial: Trial) -> None:
        """Let go of a trial that did not end; it will be begun anew."""
        ...

    def progress(self, study: Study, trial: Trial) -> None:
        """Keep that ``trial`` is over, with the study itself."""
        ...

    def conclude(self, study: Study) -> str:
        """Keep what the study has come to; return a line that says where all that is."""
        ...


class NullTracker:
    """Keeps nothing."""

    def begin(self, study: Study, trial: Trial) -> None:
        """Do nothing."""

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Do nothing."""

    def end(self, study: Study, trial: Trial) -> None:
        """Do nothing."""

    def abandon(self, trial: Trial) -> None:
        """Do nothing."""

    def progress(self, study: Study, trial: Trial) -> None:
        """Do nothing."""

    def conclude(self, study: Study) -> str:
        """Do nothing."""
        return ""
