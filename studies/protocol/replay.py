"""Replaying the recorded order of a search: does the same history lead to the same trials?

The events of a study (``ledger/order.py``) are given to a trial book again, in their order, with
the values that the trials had; nothing is trained. Each proposal and each answer to a report is
compared with the recorded one. So the replay checks this program's code and the installed versions.
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
    LEARNED,
    OWNER,
    RUNS,
    SEED,
)
from studies.core.trials import Failure
from studies.ledger.opening import TrialBook, open_search
from studies.ledger.order import RULES, Happening, happenings
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.search.enqueued import point_of
from studies.search.failures import metrics_of, untrained
from studies.storage.journal import Journal
from studies.storage.open import create_study, journal_url


class ReplayDiffers(UserError):
    """The replay differs from the record; the message has the first difference."""


_CANNOT = {
    CARRIED: "is a fork: the trials that it began with were run in another study, and the order of"
    " the two cannot be replayed",
    FAILURES: "had failed trials that were run again (--retry-failed): their earlier reports are"
    " not kept, so the order cannot be replayed",
    OWNER: "was run by several supervisors (--join), which have no common order",
}
"""Why a study cannot be replayed, by an attribute that its trials then have."""


@dataclass(kw_only=True)
class Replayed:
    """What a replay compared.

    Attributes:
        proposals: trials with the same params.
        decisions: reports with the same answer.
        untold: reports with another answer, where the history is not known.
    """

    proposals: int = 0
    decisions: int = 0
    untold: int = 0


class Replay:
    """A replay of a search, which is read once and not changed.

    Args:
        folder: an empty folder for the replay's own study.

    Raises:
        UserError: if no order was recorded.
    """

    _book: TrialBook  # of the run that is being replayed

    def __init__(self, plan: Plan, study: optuna.Study, folder: Path) -> None:
        trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
        runs = study.user_attrs.get(RUNS, [])
        for attribute, reason in _CANNOT.items():
            if any(attribute in trial.user_attrs for trial in trials.values()):
                raise UserError(f"study {plan.name} {reason}")
        if not runs or not all(map(happenings, trials.values())):
            raise UserError(f"study {plan.name} holds no recorded order")
        self._plan, self._folder = plan, folder
        self._trials, self._runs = trials, runs
        self._enqueued = study.user_attrs.get(ENQUEUED, [])
        self._imported = study.user_attrs.get(IMPORTED, [])
        self._learned = study.user_attrs.get(LEARNED)
        self._directions = study.directions
        storage = Journal(journal_url(folder / "replay"), folder / "replay")
        # Nothing is lost with it, so no write need wait for the disk.
        storage.file.durable = False
        self._storage = storage
        self._tasks: dict[int, Task] = {}
        self._reports: dict[int, int] = {}
        self._ended: set[int] = set()
        self._found = Replayed()
        self._unknown = list(_unknown(trials.values()))
        self._optuna, self._rules = "", RULES

    def go(self) -> Replayed:
        """Replay the runs, one after another; ReplayDiffers: if something differs."""
        runs = self._runs
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
        """Open the book as ``run`` did, after a predecessor that may have been killed."""
        for event in died:
            while self._reports.get(event.number, 0) < event.reports:
                self._report(event.number)
        if self._optuna:  # of an earlier run
            self._book.flush()
        self._optuna, self._rules = run["optuna"], run.get("rules", 1)
        settings = self._plan.settings.model_dump()
        # Files that were enqueued may be gone, but what they held is kept with the study. A rule
        # that ended a run early shows in the trials that it started.
        settings["search"] |= run["search"] | {
            "enqueue": [],
            "imports": [],
            "learn_from": [],
            "stop": {"failed_share": 0.0},
        }
        plan = dataclasses.replace(
            self._plan,
            settings=Settings.from_mapping(settings, source="the recorded run"),
            trials=run["trials"],
            trials_complete=0,  # the trials that started are recorded
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
        if self._learned is not None:
            study.set_user_attr(LEARNED, self._learned)
        self._book = open_search(plan, self._storage)  # retries the trials of a killed run

    def _do(self, event: Happening) -> None:
        number = event.number
        if event.kind in "ab":
            self._ask(event)
        elif event.kind in "rs":
            self._answer(event)
        elif event.kind == "p":
            metrics = metrics_of(self._trials[number])
            self._book.finish(self._tasks[number], Outcome(metrics=metrics, stopped=True))
        elif event.kind == "t":
            self._tell(number)
        elif event.kind == "l":
            self._book.lose(self._tasks[number], Failure(kind="Interrupted", message="it was lost"))

    def _ask(self, event: Happening) -> None:
        recorded = self._trials[event.number]
        task = self._book.ask()
        if task is None or task.number != event.number:
            now = "none" if task is None else f"trial {task.number}"
            raise ReplayDiffers(f"trial {event.number} started next, but now it would be {now}")
        self._tasks[event.number], self._reports[event.number] = task, 0
        if not recorded.params and recorded.state is TrialState.WAITING:
            return  # killed before it was proposed
        for name in sorted({*task.params, *recorded.params}):
            was, proposed = recorded.params.get(name), task.params.get(name)
            # Rounded: the same floating-point number may come by another way.
            if point_of({name: was}) != point_of({name: proposed}):
                raise ReplayDiffers(
                    f"trial {event.number}: {name} was {was!r}, but is now proposed as"
                    f" {proposed!r}{self._versions()}"
                )
        if task.seed != recorded.user_attrs.get(SEED):
            raise ReplayDiffers(f"trial {event.number}: its seed differs now")
        self._found.proposals += event.kind == "a"

    def _answer(self, event: Happening) -> None:
        continues = self._report(event.number)
        if continues is None or continues == (event.kind == "r"):
            self._found.decisions += continues is not None
        # Of an attempt that ended with its supervisor only the reports are known, not their times.
        elif self._cannot_be_told(event):
            self._found.untold += 1
        else:
            answers = {True: "continued", False: "stopped"}
            raise ReplayDiffers(
                f"trial {event.number}: at report {self._reports[event.number]} it was"
                f" {answers[not continues]}, but now it is {answers[continues]}{self._versions()}"
            )

    def _cannot_be_told(self, event: Happening) -> bool:
        return any(begin < event.count < end for _, begin, end in self._unknown)

    def _report(self, number: int) -> bool | None:
        """Give the book the trial's next report; None: it was not a number, and is not kept."""
        trial = self._trials[number]
        steps = sorted(trial.intermediate_values)
        index = self._reports[number]
        self._reports[number] = index + 1
        if index >= len(steps):
            return None
        metric, value = self._plan.goals.metric, trial.intermediate_values[steps[index]]
        metrics = {**metrics_of(trial), metric: value}
        continues = self._book.report(self._tasks[number], steps[index], metrics)
        self._book.flush()
        return continues

    def _tell(self, number: int) -> None:
        trial, task = self._trials[number], self._tasks[number]
        if number in self._ended:
            return
        if number in self._book.paused:
            # Whether a rule had ended the search is not replayed, so the book is not asked.
            self._ended |= set(self._book.paused)
            self._book.end_paused()
            return
        if trial.state is TrialState.FAIL and not untrained(trial):
            failure = trial.user_attrs.get(FAILURE, {"kind": "unknown", "message": ""})
            self._book.fail(task, Failure(**failure))
            return
        stopped = trial.state is not TrialState.COMPLETE  # also an infeasible trial
        self._book.finish(task, Outcome(metrics=metrics_of(trial), stopped=stopped))

    def _versions(self) -> str:
        now = optuna.__version__
        then = "" if now == self._optuna else f" (Optuna {self._optuna} then, {now} now)"
        return then + (" (run by an older version with other rules)" if self._rules < RULES else "")


def _unknown(trials: Iterable[FrozenTrial]) -> Iterator[tuple[int, int, int]]:
    """Yield trial, begin and end of each attempt whose reports have no known time."""
    for trial in trials:
        begin = 0
        for event in happenings(trial):
            if event.kind in "ab":
                begin = event.count
            elif event.kind == "d":
                yield trial.number, begin, event.count
