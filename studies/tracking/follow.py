"""Following a log: events become trials, and a tracker is called once with each of them."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studies.core.event_log import OVER, Contents, Tail
from studies.core.events import Event
from studies.core.redaction import masked
from studies.core.trials import reason_text
from studies.tracking.base import Report, Study, Tracker, Trial
from studies.tracking.kept import Kept, kept_as, mark

GIVEN_UP = 5
"""A tracker that fails at this number of trials in a row is not called any more."""

_log = logging.getLogger(__name__)


class Follower:
    """Calls a tracker with the trials of one study.

    Attributes:
        written: number of trials that were kept.
        missed: number of trials that the tracker failed at.
        study: what the events so far have told.
    """

    def __init__(
        self,
        create: Callable[[Study], Tracker],
        kept: Kept,
        say: Callable[[str], object],
        *,
        runs: bool = True,
    ) -> None:
        self.written, self.missed = 0, 0
        self.study = Study(id="", name="")
        self._create, self._kept, self._say, self._runs = create, kept, say, runs
        self._tracker: Tracker | None = None
        self._open: dict[tuple[str, int], Trial] = {}
        self._broken: set[tuple[str, int]] = set()
        self._paused: set[tuple[str, int]] = set()
        self._retried: Counter[tuple[str, int]] = Counter()
        self._in_a_row = 0
        self._given_up = False
        self._concluded = False

    def take(self, event: Event) -> None:
        """Take in the next event."""
        data = event.data
        if event.kind == "study":
            self.study.about = data
            self.study.id = self._kept.study = self.study.id or str(data.get("id", ""))
            self.study.name = str(data.get("name", ""))
        elif event.kind == "result":
            self.study.result = data
            self._concluded = True
        elif event.trial is None:
            return
        elif event.kind == "start":
            self._begin(event, event.trial)
        elif event.kind == "report":
            self._report(event, event.trial)
        elif event.kind in OVER:
            self._end(event, event.trial)
        elif event.kind == "paused" and (event.phase, event.trial) in self._open:
            self._paused.add((event.phase, event.trial))
        elif event.kind == "lost" and (event.phase, event.trial) in self.study.trials:
            self._retry((event.phase, event.trial))

    def up_to_date(self, contents: Contents) -> bool:
        """Whether there is nothing in a log with ``contents`` that was not kept before."""
        return self._kept.whole(contents, runs=self._runs)

    def finish(self) -> str:
        """Let go of trials that did not end, and conclude; return the tracker's last line."""
        for trial in list(self._open.values()):
            self._abandon(trial)
        if self._given_up or not self.study.id:
            return ""
        said = self._call("conclude", self.study)
        if said is None:
            return ""
        over = frozenset(self.study.trials)
        try:
            contents = Contents(over=over, concluded=self._concluded, retried=self._retried)
            self._kept.add(*mark(contents))
        except OSError as error:
            self._failed("the study", error)
        return str(said)

    def _begin(self, event: Event, number: int) -> None:
        key = (event.phase, number)
        if key in self.study.trials:
            return  # it has ended: this is a copy
        if key in self._paused:  # its run continues
            self._paused.discard(key)
            return
        if key in self._open:  # lost with its worker: it makes the same reports again
            self._abandon(self._open[key])
        data = event.data
        trial = Trial(
            phase=event.phase,
            number=number,
            params=data.get("params") or {},
            config=data.get("config") or {},
            seed=data.get("seed"),
            label=data.get("label") or "",
            nth_seed=data.get("nth_seed") or 0,
            began=event.time,
        )
        if trial.phase == "test":
            self._describe_tested(trial)
        self._open[key] = trial
        self._broken.discard(key)
        if self._wanted(trial):
            self._of_trial(trial, "begin")

    def _retry(self, key: tuple[str, int]) -> None:
        """Expect a trial that had failed once more; it is kept again."""
        del self.study.trials[key]
        self._retried[key] += 1
        self._broken.discard(key)
        self._concluded = False

    def _report(self, event: Event, number: int) -> None:
        trial = self._known(event, number)
        step = event.data.get("step")
        if trial is None or type(step) is not int:
            return
        # A trial that was lost makes the same reports again; each step counts once.
        if trial.reports and step <= trial.reports[-1].step:
            return
        report = Report(
            step=step,
            seconds=max(0.0, event.time - trial.began),
            time=event.time,
            metrics=_numbers(event.data.get("metrics")),
        )
        trial.reports.append(report)
        if self._wanted(trial):
            self._of_trial(trial, "report", report)

    def _end(self, event: Event, number: int) -> None:
        trial = self._known(event, number)
        if trial is None:
            return
        data = event.data
        last = trial.reports[-1].metrics if trial.reports else {}
        trial.state = "complete" if event.kind == "tested" else event.kind
        trial.ended = event.time
        trial.value = data.get("value")
        trial.metrics = _numbers(data.get("metrics")) or last
        trial.seconds = data.get("seconds")
        trial.attributes = data.get("attributes") or {}
        if event.kind == "failed":
            trial.failure = reason_text(data.get("kind", ""), data.get("message", ""))
        del self._open[trial.key]
        self.study.trials[trial.key] = trial
        self._concluded = False
        if self._wanted(trial) and self._of_trial(trial, "end"):
            try:
                self._kept.add(*kept_as(trial.key, self._retried))
                self.written += 1
                self._in_a_row = 0
            except OSError as error:
                self._failed(_named(trial), error)
        # Also for trials that an earlier process has kept: the best so far needs all of them.
        self._call("progress", self.study, trial)

    def _describe_tested(self, trial: Trial) -> None:
        confirmed = self.study.trials.get(("confirm", trial.number))
        if confirmed is not None:
            trial.params, trial.config = confirmed.params, confirmed.config
            trial.seed, trial.nth_seed = confirmed.seed, confirmed.nth_seed
            trial.label = confirmed.label

    def _known(self, event: Event, number: int) -> Trial | None:
        """Return the running trial, started here if its start is missing; None: it has ended."""
        key = (event.phase, number)
        if key in self.study.trials:
            return None
        if key not in self._open:
            self._begin(
                Event(kind="start", phase=event.phase, trial=number, time=event.time), number
            )
        return self._open[key]

    def _wanted(self, trial: Trial) -> bool:
        kept = kept_as(trial.key, self._retried) in self._kept
        return self._runs and not self._given_up and not kept

    def _abandon(self, trial: Trial) -> None:
        del self._open[trial.key]
        if self._wanted(trial) and trial.key not in self._broken:
            self._call("abandon", trial)

    def _of_trial(self, trial: Trial, method: str, *more: Any) -> bool:
        """Call the tracker about ``trial``, unless it has failed at that before."""
        if trial.key in self._broken:
            return False
        if self._call(method, self.study, trial, *more, at=_named(trial)) is not None:
            return True
        self._broken.add(trial.key)
        return False

    def _call(self, method: str, *arguments: Any, at: str = "the study") -> Any:
        """Call the tracker; None: it raised. A method that returns nothing counts as ``""``."""
        try:
            if self._tracker is None:
                self._tracker = self._create(self.study)
            said = getattr(self._tracker, method)(*arguments)
        except Exception as error:  # whatever a tracker does, the others' trials must not suffer
            _log.exception("%s at %s", method, at)
            self._failed(at, error)
            return None
        return "" if said is None else said

    def _failed(self, at: str, error: Exception) -> None:
        # Only the first error is printed: a server that is gone fails at every trial.
        self.missed += 1
        self._in_a_row += 1
        if self.missed == 1:
            reason = " ".join(masked(str(error)).split()) or "no reason given"
            self._say(f"failed at {at}: {type(error).__name__}: {reason[:200]}")
        if self._in_a_row == GIVEN_UP:
            self._say(f"failed {GIVEN_UP} times in a row: given up for now")
            self._tracker, self._given_up = Tracker(), True


def read_study(path: Path) -> Study | None:
    """Return the study as the log at ``path`` tells it; None: there is no such log."""
    nothing = Kept(path.with_name(f"{path.name}.not-kept"))
    follower = Follower(lambda study: Tracker(), nothing, print, runs=False)
    for event in Tail(path).read():
        follower.take(event)
    return follower.study if follower.study.id else None


def _named(trial: Trial) -> str:
    return f"{trial.phase} trial {trial.number}"


def _numbers(metrics: Any) -> dict[str, float]:
    if not isinstance(metrics, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
