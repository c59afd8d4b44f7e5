"""Records the order of events in a search, which an asynchronous run cannot repeat.

Each trial keeps its events as one line of text in its user attribute ``order``. Each event is a
letter and a number that counts all events of the study, as in ``a12 r15 s19 t20``:

=====  ==========================================================================
``a``  Its params were proposed and it started.
``b``  It started again with the params that it had.
``r``  It reported and continued.
``s``  It reported and was told to stop.
``t``  It ended.
``p``  It was paused; ``b`` follows if it is continued.
``l``  It was reset because its worker was lost or the user stopped the run.
``d``  Its supervisor had died, as the next one found; ``d31:4``: four of its
       reports were stored, at times that are not known.
=====  ==========================================================================
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from studies.core.attributes import ORDER, RUNS
from studies.ledger.trial_table import TrialTable
from studies.planning.settings import SearchSettings

RULES = 3
"""Version of proposing and pruning; raised when the same history leads to other trials."""

_EVENT = re.compile(r"([abrstldp])(\d+)(?::(\d+))?")


@dataclass(frozen=True, kw_only=True, order=True)
class Happening:
    """One event.

    Attributes:
        count: its place among all events of the study.
        number: the trial's.
        kind: a letter, see above.
        reports: number of stored reports; for ``d`` only.
    """

    count: int
    number: int
    kind: str
    reports: int = 0


def happenings(trial: FrozenTrial) -> list[Happening]:
    """Return the recorded events of ``trial`` in order."""
    found = [
        Happening(count=int(count), number=trial.number, kind=kind, reports=int(reports or 0))
        for kind, count, reports in _EVENT.findall(str(trial.user_attrs.get(ORDER, "")))
    ]
    # Written before the trial was told, which a kill may have prevented.
    return [one for one in found if one.kind != "t" or one is found[-1]]


def next_count(trials: Iterable[FrozenTrial]) -> int:
    """Return the number of the next event of a study with ``trials``."""
    return 1 + max((one.count for trial in trials for one in happenings(trial)), default=0)


def record_run(study: optuna.Study, settings: SearchSettings, facts: Mapping[str, int]) -> None:
    """Keep with ``study`` what its search is run with from now on; ``facts``: see ``Replay``."""
    aside = {"stop", "enqueue", "imports", "learn_from", "retries"}
    run = {
        "from": next_count(study.get_trials(deepcopy=False)),
        "search": settings.model_dump(mode="json", exclude=aside),
        **facts,
        "optuna": optuna.__version__,
        "rules": RULES,
    }
    study.set_user_attr(RUNS, [*study.user_attrs.get(RUNS, []), run])


class Order:
    """Records the order of a book's events.

    Args:
        on: whether to record. If several supervisors write there is not one order.
    """

    def __init__(self, table: TrialTable, *, on: bool) -> None:
        self._table = table
        self._on = on
        self._next = next_count(table.trials.values()) if on else 0
        self._lines: dict[int, list[str]] = {}

    def new(self) -> dict[str, Any]:
        """Return the attributes of a new trial that is about to start."""
        return {ORDER: self._event("a")} if self._on else {}

    def started(self, trial: FrozenTrial, params_before: Mapping[str, Any] | None) -> None:
        """``trial`` has started; ``params_before`` it was reset, None if it is new."""
        if self._on:
            line = self._lines[trial.number] = self._line(trial)
            if params_before is not None:
                line.append(self._event("b" if params_before else "a"))
                self._table.attribute(trial, ORDER, " ".join(line))

    def reported(self, number: int, continues: bool) -> None:
        """Trial ``number`` reported and was answered."""
        if number in self._lines:
            self._lines[number].append(self._event("r" if continues else "s"))

    def ended(self, trial: FrozenTrial) -> dict[str, Any]:
        """``trial`` is about to end; return the attributes to keep with it."""
        return self._line_and(trial, "t")

    def paused(self, trial: FrozenTrial) -> dict[str, Any]:
        """``trial`` is about to be paused; return the attributes to keep with it."""
        return self._line_and(trial, "p")

    def continued(self, trial: FrozenTrial) -> dict[str, Any]:
        """The paused ``trial`` is about to continue; return the attributes to keep with it."""
        if not self._on:
            return {}
        line = self._lines[trial.number] = [*self._line(trial), self._event("b")]
        return {ORDER: " ".join(line)}

    def put_back(self, trial: FrozenTrial) -> dict[str, Any]:
        """``trial`` is about to be reset; return the attributes to keep with it."""
        if trial.number in self._lines:
            return self._line_and(trial, "l")
        # Its supervisor died: nothing is known of when its reports came.
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
