"""A tracker: a listener that keeps a study in a place where people look at it.

A tracker runs in a process of its own (``python -m studies.tracking``), which reads the study's
event log; the study never waits for it. If it raises, hangs or is killed, the next process, or
``python -m studies sync``, writes what it missed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studies.core.trials import TrialRecord, TrialState
from studies.planning.tracking_settings import TrackingSettings

_STATES = {state.word: state for state in TrialState}


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report of a trial.

    Attributes:
        step: from 1, normally the epoch.
        seconds: since the trial's start.
        time: seconds after 1970.
    """

    step: int
    seconds: float
    time: float
    metrics: Mapping[str, float]


@dataclass(kw_only=True)
class Trial:
    """One trial as its events have told it so far.

    Attributes:
        phase: search, confirm or test (the evaluation of a confirmed model).
        number: from 0 in each phase; in ``test`` that of the confirm trial.
        config: resolved settings of the trainer that differ from the study's, by dotted name;
            None: the trial has no such setting.
        label: the configuration's name in tables; "" in the search.
        nth_seed: which of the confirm seeds it has, from 1; 0: in the search, or not known.
        began: seconds after 1970.
        reports: in order, each step once.
        attributes: what the objective left: device, confusion matrix …
        ended: seconds after 1970; 0 while it runs.
    """

    phase: str
    number: int
    params: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    label: str = ""
    nth_seed: int = 0
    began: float = 0.0
    reports: list[Report] = field(default_factory=list)
    state: str = TrialState.RUNNING.word
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    ended: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        """Phase and number."""
        # Names of runs follow from it, so a trial that is started again replaces a half done one.
        return self.phase, self.number


@dataclass(kw_only=True)
class Study:
    """A study as its events have told it so far.

    Attributes:
        id: random, made with the log: tells studies of the same name apart.
        about: the data of its latest ``study`` event, see ``recording.py``.
        result: the data of its latest ``result`` event; empty: it is not finished.
    """

    id: str
    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    trials: dict[tuple[str, int], Trial] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Name of the metric that the study is about."""
        return str(self.about.get("metric", "value"))

    @property
    def maximize(self) -> bool:
        """Whether a greater value is better."""
        return bool(self.about.get("direction", "maximize") == "maximize")

    @property
    def sign(self) -> float:
        """1 where a greater value is better, else -1."""
        return 1.0 if self.maximize else -1.0

    @property
    def search(self) -> list[Trial]:
        """The search trials that ended."""
        return [trial for trial in self.trials.values() if trial.phase == "search"]

    @property
    def searched(self) -> list[TrialRecord]:
        """The search trials that ended, as records."""
        return [
            TrialRecord(
                number=trial.number,
                state=_STATES[trial.state],
                params=dict(trial.params),
                seed=trial.seed or 0,
                value=trial.value,
                curve={
                    report.step: report.metrics[self.metric]
                    for report in trial.reports
                    if self.metric in report.metrics
                },
                metrics=dict(trial.metrics),
                seconds=trial.seconds,
            )
            for trial in self.search
        ]

    def title_of(self, trial: Trial) -> str:
        """Return what people call a trial: ``search 12 adam``, ``confirm adam seed 3``."""
        # Logs of older versions have no labels.
        if trial.label and trial.nth_seed:
            return f"{trial.phase} {trial.label} seed {trial.nth_seed}"
        choice = trial.params.get(str(self.about.get("scientific", "")), "")
        return f"{trial.phase} {trial.number} {choice}".rstrip()

    def config_of(self, trial: Trial) -> dict[str, Any]:
        """Return all resolved settings of the trainer for ``trial``, by dotted name."""
        settings = {**self.about.get("train", {}), **trial.config}
        return {name: value for name, value in settings.items() if value is not None}


@dataclass
class BestSoFar:
    """The best value of the search trials that have ended; None before there is a complete one."""

    trials: int = 0
    value: float | None = None

    def add(self, study: Study, trial: Trial) -> float | None:
        """Take in a search trial that ended; return the best value so far."""
        self.trials += 1
        if trial.state == "complete" and trial.value is not None:
            pick = max if study.maximize else min
            self.value = trial.value if self.value is None else pick(self.value, trial.value)
        return self.value


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a tracker is given.

    Attributes:
        folder: the study's, absolute.
        say: gets a line about what a person should know.
        sync: the command that sends what is kept here.
    """

    folder: Path
    settings: TrackingSettings
    say: Callable[[str], object]
    sync: str


class Tracker:
    """Keeps nothing itself; each tracker overrides what it needs.

    It is called in one process, one call at a time. What it raises costs its own trial only.

    For each trial that it has not kept yet: ``begin``, ``report`` …, then ``end``, or ``abandon``
    if the log ends first. Then ``progress`` for each trial that ended, in the order of their
    ends, also for those that an earlier process has kept. At the end ``conclude``, once.
    """

    def begin(self, study: Study, trial: Trial) -> None:
        """Start to keep ``trial``; it replaces what an earlier process has kept of it."""

    def report(self, study: Study, trial: Trial, report: Report) -> None:
        """Keep one of its reports."""

    def end(self, study: Study, trial: Trial) -> None:
        """Keep how it ended; when this returns, a kill does not lose the trial."""

    def abandon(self, trial: Trial) -> None:
        """Close a trial that did not end; it will be started again."""

    def progress(self, study: Study, trial: Trial) -> None:
        """Keep with the study itself that ``trial`` has ended."""

    def conclude(self, study: Study) -> str:
        """Keep the study's result; return a line that says where everything is."""
        return ""


def as_text(value: Any) -> str:
    """Return a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows with the same columns as a Markdown table; "": there are none."""
    if not rows:
        return ""
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    return "\n".join([*lines, *(" | ".join(row.values()) for row in rows)])
