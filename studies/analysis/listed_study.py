"""A study as ``studies list`` shows it: read quickly, with nothing worked out again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from studies.analysis import kept_result
from studies.analysis.figure_data import best_of, complete
from studies.analysis.kept_result import Best, KeptResult
from studies.core.attributes import BUDGET, RECORD, STOPPED, TEST
from studies.statistics.intervals import sign_of
from studies.storage.base import Storage, Tally
from studies.storage.leases import supervisor
from studies.storage.location import OpenedStudies
from studies.storage.records import read_trials

ELSEWHERE = "elsewhere"
UNREADABLE = "unreadable"

_INFEASIBLE = "INFEASIBLE"  # in a result; Optuna keeps such a trial as failed


@dataclass(frozen=True, kw_only=True)
class FoundStudy:
    """A study in a folder of results, or in a storage."""

    name: str
    folder: Path | None  # None: only the storage has it
    goal: str = ""
    # the phase (search, confirm, test, finished), ``elsewhere`` (the study is kept in a database
    # that is not asked) or ``unreadable``
    state: str
    running: bool = False  # whether a living process runs it
    why: str = ""  # of ``elsewhere``: where; of ``unreadable``: the error
    done: int | None = None  # search trials that have ended
    planned: int | None = None  # search trials in all
    confirmed: int = 0  # confirm trials that have ended
    best: Best | None = None
    verdict: str = ""  # in a few words; "": not judged
    date: datetime | None = None  # when a trial last ended, or else when the folder last changed
    size: int | None = None  # bytes of the folder
    storage: str = ""  # its URL, without passwords, if the study is not kept in the folder


def read_listed(studies: OpenedStudies) -> FoundStudy | None:
    """Return the study that is looked for; None: there is none, or it is another program's.

    Raises:
        UserError: if what the storage holds cannot be read.
    """
    location = studies.location
    attributes = studies.attributes(location.name)
    if studies.storage is None or attributes is None or RECORD not in attributes:
        return None
    tally = _tally(studies, studies.storage, location.name)
    confirm = _tally(studies, studies.storage, location.confirm)
    spec = attributes[RECORD]["spec"]
    budget = {"trials": spec["trials"], "confirm_seeds": spec["confirm_seeds"]}
    budget |= attributes.get(BUDGET) or {}
    kept = kept_result.read(location.folder)
    if kept is not None and not _is_of(kept, tally, budget["confirm_seeds"]):
        kept = None  # the study has run since
    if kept is None and (location.folder / kept_result.FILE).is_file():
        over = False
    else:
        over = kept.over if kept else _is_tested(studies.attributes(location.confirm) or {})
    stopped = attributes.get(STOPPED) is not None
    phase = _phase(tally, confirm, over=over, planned=None if stopped else budget["trials"])
    search = studies.search
    times = [one.last for one in (tally, confirm) if one.last is not None]
    return FoundStudy(
        name=location.name,
        folder=location.folder,
        goal=spec["goal"],
        state=phase,
        running=search is not None and supervisor(search) is not None,
        done=_ended(tally),
        planned=budget["trials"],
        confirmed=_ended(confirm),
        best=kept.best if kept else _best_in_search(studies, spec),
        verdict="" if kept is None else kept.verdict,
        date=max(times, default=None),
    )


def _best_in_search(studies: OpenedStudies, spec: Mapping[str, Any]) -> Best | None:
    study = studies.search
    if study is None:
        return None
    found = best_of(complete(read_trials(study, brief=True)), sign_of(spec["direction"]))
    if found is None or found.value is None:
        return None
    return Best(metric=spec["metric"], value=found.value)


def _tally(studies: OpenedStudies, storage: Storage, name: str) -> Tally:
    if name not in studies.names:
        return Tally(states={}, last=None)
    return storage.tally(storage.get_study_id_from_name(name))


def _phase(search: Tally, confirm: Tally, *, over: bool, planned: int | None) -> str:
    """Return the phase as ``stored_study.Stored`` has it, as far as the counts tell it."""
    ended, all_of = _ended(search), sum(search.states.values())
    if ended < (all_of if planned is None else planned):
        return "search"
    if not search.states.get(TrialState.COMPLETE):
        return "search"
    if not over:
        return "confirm"
    return "finished" if _ended(confirm) == sum(confirm.states.values()) else "confirm"


def _ended(tally: Tally) -> int:
    return sum(count for state, count in tally.states.items() if state.is_finished())


def _is_of(kept: KeptResult, tally: Tally, confirm_seeds: int) -> bool:
    """Return whether a result is of the trials that the storage holds now."""
    there = {state.name: count for state, count in tally.states.items() if count}
    known = dict(kept.states)
    failed = known.pop(_INFEASIBLE, 0) + known.pop("FAIL", 0)
    known |= {"FAIL": failed} if failed else {}
    return there == known and kept.confirm_seeds == confirm_seeds


def _is_tested(confirm: Mapping[str, Any]) -> bool:
    record = confirm.get(TEST) or {}
    return bool(record.get("values") or record.get("absent"))
