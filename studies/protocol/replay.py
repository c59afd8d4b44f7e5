"""Replaying the recorded order of a search: would the same history lead to the same trials?

The events of a study (``book/order.py``) are given to a trial book again, in their order, with
the values that the trials had; nothing is trained. Each time the book proposes a trial its params
are compared with those that were recorded, and each answer to a report with the answer that was
given. So what is checked is this program's own code, with the versions that are installed now.

Of an attempt that ended with its supervisor only the reports are known, not when they came. Where
an answer may depend on them and is another now, that cannot be told from a difference; it is
counted apart.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import UserError
from objectives.base import Outcome, Task
from studies.core.attributes import (
    CARRIED,
    ENQUEUED,
    FAILURE,
    FAILURES,
    IMPORTED,
    METRICS,
    OWNER,
    RUNS,
    SEED,
)
from studies.core.trials import Failure
from studies.ledger.opening import Book, open_search
from studies.ledger.order import RULES, Happening, happenings
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.search.enqueued import point_of
from studies.search.failures import untrained
from studies.storage.open import Journal, create_study, journal_url, open_storage


class ReplayDiffers(UserError):
    """The recorded order, replayed, leads to something else; the message says what came first."""


@dataclass(kw_only=True)
class Replayed:
    """What a replay compared.

    Attributes:
        proposals: trials whose params came to the same.
        decisions: reports that were answered the same.
        untold: reports that were answered otherwise, where the history is not known.
    """

    proposals: int = 0
    decisions: int = 0
    untold: int = 0


def replay(plan: Plan, study: optuna.Study, folder: Path) -> Replayed:
    """Replay the search ``study``; it is not changed.

    Args:
        plan: of the study.
        study: the search.
        folder: an empty one for the replay's own study.

    Raises:
        ReplayDiffers: something differs.
        UserError: no order was recorded.
    """
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    runs = study.user_attrs.get(RUNS, [])
    if any(CARRIED in trial.user_attrs for trial in trials.values()):
        raise UserError(
            f"study {plan.name} is a fork: the trials that it began with were run in another study,"
            " and the order of the two cannot be replayed"
        )
    if any(FAILURES in trial.user_attrs for trial in trials.values()):
        raise UserError(
            f"study {plan.name} had failed trials that were run again (--retry-failed): what they"
            " reported before is not kept, so the order cannot be replayed"
        )
    if any(OWNER in trial.user_attrs for trial in trials.values()):
        raise UserError(
            f"study {plan.name} was run by several supervisors (--join), which have no common order"
        )
    if not runs or not all(map(happenings, trials.values())):
        raise UserError(
            f"study {plan.name} holds no recorded order: it was run before orders were recorded"
        )
    return _Replay(plan, study, trials, folder).go(runs)


class _Replay:
    def __init__(
        self, plan: Plan, study: optuna.Study, trials: Mapping[int, FrozenTrial], folder: Path
    ) -> None:
        self._plan, self._folder = plan, folder
        self._trials = trials
        self._enqueued = study.user_attrs.get(ENQUEUED, [])
        self._imported = study.user_attrs.get(IMPORTED, [])
        self._directions = study.directions
        storage = open_storage(journal_url(folder / "replay"), create=True)
        assert isinstance(storage, Journal)
        storage.file.durable = False
        self._storage = storage
        self._book: Book | None = None
        self._tasks: dict[int, Task] = {}
        self._reports: dict[int, int] = {}
        self._found = Replayed()
        self._unknown = list(_unknown(trials.values()))
        self._optuna, self._rules = "", RULES

    def go(self, runs: Sequence[Mapping[str, Any]]) -> Replayed:
        """Replay one run after the other."""
        events = sorted(one for trial in self._trials.values() for one in happenings(trial))
        ends = [*(run["from"] for run in runs[1:]), float("inf")]
        for run, end in zip(runs, ends, strict=True):
            ours = [event for event in events if run["from"] <= event.count < end]
            if ours:
                self._begin(run, [event for event in ours if event.kind == "d"])
            for event in ours:
                self._do(event)
        return self._found

    def _begin(self, run: Mapping[str, Any], died: Sequence[Happening]) -> None:
        """Open the book as ``run`` did, after its predecessor, if it was killed, left it so."""
        for event in died:
            while self._reports.get(event.number, 0) < event.reports:
                self._report(event.number)
        if self._book is not None:
            self._book.settle()
        self._optuna, self._rules = run["optuna"], run.get("rules", 1)
        settings = self._plan.settings.model_dump()
        settings["search"] |= run["search"] | {
            "enqueue": [],
            "imports": [],
            "stop": {"failed_share": 0.0},
        }
        plan = dataclasses.replace(
            self._plan,
            settings=Settings.from_mapping(settings, source="the recorded run"),
            trials=run["trials"],
            trials_complete=0,  # what began is recorded
            trials_per_choice=run["trials_per_choice"],
            workers=run["workers"],
            folder=self._folder,
            storage_url=self._storage.url,
        )
        study = create_study(plan.name, self._storage, self._directions)
        if run["known"]:
            study.set_user_attr(ENQUEUED, self._enqueued[: run["known"]])
        if run.get("imported"):
            study.set_user_attr(IMPORTED, self._imported[: run["imported"]])
        self._book = open_search(plan, self._storage)  # puts back what the killed one ran

    def _do(self, event: Happening) -> None:
        number = event.number
        assert self._book is not None
        if event.kind in "ab":
            self._ask(event)
        elif event.kind in "rs":
            self._answer(event)
        elif event.kind == "t":
            self._tell(number)
        elif event.kind == "l":
            self._book.lose(self._tasks[number], Failure(kind="Interrupted", message="it was lost"))

    def _ask(self, event: Happening) -> None:
        assert self._book is not None
        recorded = self._trials[event.number]
        task = self._book.ask()
        if task is None or task.number != event.number:
            now = "none" if task is None else f"trial {task.number}"
            raise ReplayDiffers(f"trial {event.number} was begun next, but now it would be {now}")
        self._tasks[event.number], self._reports[event.number] = task, 0
        if not recorded.params and recorded.state is TrialState.WAITING:
            return  # killed before it was proposed
        for name in sorted({*task.params, *recorded.params}):
            was, proposed = recorded.params.get(name), task.params.get(name)
            if point_of({name: was}) != point_of({name: proposed}):
                raise ReplayDiffers(
                    f"trial {event.number}: {name} was {was!r}, but is now proposed as"
                    f" {proposed!r}{self._versions()}"
                )
        if task.seed != recorded.user_attrs.get(SEED):
            raise ReplayDiffers(f"trial {event.number}: its seed is another one now")
        self._found.proposals += event.kind == "a"

    def _answer(self, event: Happening) -> None:
        goes_on = self._report(event.number)
        if goes_on is None or goes_on == (event.kind == "r"):
            self._found.decisions += goes_on is not None
        elif self._cannot_be_told(event):
            self._found.untold += 1
        else:
            answers = {True: "let go on", False: "stopped"}
            raise ReplayDiffers(
                f"trial {event.number}: at report {self._reports[event.number]} it was"
                f" {answers[not goes_on]}, but now it is {answers[goes_on]}{self._versions()}"
            )

    def _cannot_be_told(self, event: Happening) -> bool:
        """Whether an answer depends on reports of which nobody knows when they came."""
        return any(begin < event.count < end for _, begin, end in self._unknown)

    def _report(self, number: int) -> bool | None:
        """Give the book the trial's next report; None: it was no number, and is not kept."""
        assert self._book is not None
        trial = self._trials[number]
        steps = sorted(trial.intermediate_values)
        index = self._reports[number]
        self._reports[number] = index + 1
        if index >= len(steps):
            return None
        metric, value = self._plan.goals.metric, trial.intermediate_values[steps[index]]
        metrics = {**_metrics(trial), metric: value}
        goes_on = self._book.report(self._tasks[number], steps[index], metrics)
        self._book.settle()
        return goes_on

    def _tell(self, number: int) -> None:
        assert self._book is not None
        trial, task = self._trials[number], self._tasks[number]
        if trial.state is TrialState.FAIL and not untrained(trial):
            failure = trial.user_attrs.get(FAILURE, {"kind": "unknown", "message": ""})
            self._book.fail(task, Failure(**failure))
            return
        stopped = trial.state is not TrialState.COMPLETE  # also one over a limit
        self._book.finish(task, Outcome(metrics=_metrics(trial), stopped=stopped))

    def _versions(self) -> str:
        now = optuna.__version__
        optuna_ = "" if now == self._optuna else f" (Optuna {self._optuna} then, {now} now)"
        older = " (run by an older version, in which failures taught nothing and rungs differed)"
        return optuna_ + (older if self._rules < RULES else "")


def _metrics(trial: FrozenTrial) -> dict[str, float]:
    kept: Mapping[str, float | None] = trial.user_attrs.get(METRICS, {})
    return {name: value for name, value in kept.items() if value is not None}


def _unknown(trials: Iterable[FrozenTrial]) -> Iterator[tuple[int, int, int]]:
    """Yield trial, begin and end of each attempt of which nobody knows when it reported."""
    for trial in trials:
        begin = 0
        for event in happenings(trial):
            if event.kind in "ab":
                begin = event.count
            elif event.kind == "d":
                yield trial.number, begin, event.count
