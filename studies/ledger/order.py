"""The order in which things happened in a search: what an asynchronous run cannot repeat, recorded.

Each trial keeps its own events as one line of text, its user attribute ``order``: a letter and a
number that counts all events of the study, as in ``a12 r15 s19 t20``.

=====  =============================================================================================
``a``  it was asked for, and its params were proposed.
``b``  it was begun again, with the params that it had.
``r``  it reported, and went on.
``s``  it reported, and was told to stop.
``t``  it was told: it is over.
``l``  it was put back, with its worker or by the user.
``d``  its supervisor had died, found by the next one; ``d31:4``: four of its reports were stored,
       nobody knows when.
=====  =============================================================================================

The line is written when a trial begins, with the trial, and when it ends: one write more a trial.
What a run was started with is kept with the study (``RUNS``). ``studies/protocol/replay.py``
reads both.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from studies.core.attributes import ORDER, RUNS
from studies.ledger.pages import Pages
from studies.planning.plan import Plan

RULES = 2
"""Of proposing and pruning; raised when the same history leads to other trials. 1: failures taught
nothing, and rungs had the values that a trial had when the pruner was asked."""

_EVENT = re.compile(r"([abrstld])(\d+)(?::(\d+))?")


@dataclass(frozen=True, kw_only=True, order=True)
class Happening:
    """One event.

    Attributes:
        count: its place among all events of the study.
        number: of the trial.
        kind: a letter, see above.
        reports: of ``d``: how many reports were stored by then.
    """

    count: int
    number: int
    kind: str
    reports: int = 0


def happenings(trial: FrozenTrial) -> list[Happening]:
    """Return the events of ``trial`` in order; none where none were recorded."""
    found = [
        Happening(count=int(count), number=trial.number, kind=kind, reports=int(reports or 0))
        for kind, count, reports in _EVENT.findall(str(trial.user_attrs.get(ORDER, "")))
    ]
    # Written before the trial was told, which a kill may have prevented.
    return [one for one in found if one.kind != "t" or one is found[-1]]


def next_count(trials: Iterable[FrozenTrial]) -> int:
    """Return the number of the next event of a study with ``trials``."""
    return 1 + max((one.count for trial in trials for one in happenings(trial)), default=0)


def record_run(study: optuna.Study, plan: Plan, *, known: int, imported: int = 0) -> None:
    """Keep what the search of ``plan`` is run with from now on.

    Args:
        study: the search.
        plan: of the run.
        known: configurations that were enqueued by now.
        imported: results from elsewhere that the sampler knows by now.
    """
    aside = {"stop", "enqueue", "imports", "retries"}
    search = plan.settings.search.model_dump(mode="json", exclude=aside)
    run = {
        "from": next_count(study.get_trials(deepcopy=False)),
        "search": search,
        "trials": plan.trials,
        "trials_per_choice": plan.trials_per_choice,
        "workers": plan.workers,
        "known": known,
        "imported": imported,
        "optuna": optuna.__version__,
        "rules": RULES,
    }
    study.set_user_attr(RUNS, [*study.user_attrs.get(RUNS, []), run])


class Order:
    """Records the order of a book's events.

    Args:
        pages: the book's.
        on: whether to record; where several supervisors write there is no one order.
    """

    def __init__(self, pages: Pages, *, on: bool) -> None:
        self._pages = pages
        self._on = on
        self._next = next_count(pages.trials.values()) if on else 0
        self._lines: dict[int, list[str]] = {}

    def new(self) -> dict[str, Any]:
        """Return what a trial is made with that is to be begun next."""
        return {ORDER: self._event("a")} if self._on else {}

    def begun(self, trial: FrozenTrial, params_before: Mapping[str, Any] | None) -> None:
        """``trial`` has begun.

        Args:
            trial: of the book.
            params_before: its params before that; None: it is new.
        """
        if self._on:
            line = self._lines[trial.number] = self._line(trial)
            if params_before is not None:
                line.append(self._event("b" if params_before else "a"))
                self._pages.attribute(trial, ORDER, " ".join(line))

    def reported(self, number: int, goes_on: bool) -> None:
        """Trial ``number`` reported and was answered."""
        if number in self._lines:
            self._lines[number].append(self._event("r" if goes_on else "s"))

    def over(self, trial: FrozenTrial) -> dict[str, Any]:
        """``trial`` is about to be told; return what is to be kept with it."""
        return self._line_and(trial, "t")

    def put_back(self, trial: FrozenTrial) -> dict[str, Any]:
        """``trial`` is about to be put back; return what is to be kept with it."""
        if trial.number in self._lines:
            return self._line_and(trial, "l")
        return self._line_and(trial, "d", f":{len(trial.intermediate_values)}")

    def _line_and(self, trial: FrozenTrial, kind: str, more: str = "") -> dict[str, Any]:
        if not self._on:
            return {}
        line = self._lines.pop(trial.number, None) or self._line(trial)
        return {ORDER: " ".join([*line, self._event(kind) + more])}

    def _line(self, trial: FrozenTrial) -> list[str]:
        return str(trial.user_attrs.get(ORDER, "")).split()

    def _event(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._next - 1}"
