"""Opening a study's trial book: its search, or its confirmation."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from mnist_core.errors import UserError
from objectives.base import CHANGES
from studies.core.attributes import (
    BUDGET,
    CARRIED,
    CONFIRM,
    ENQUEUED,
    ENTRY,
    FINGERPRINT,
    FOLDERS,
    IDENTITY,
    IMPORTED,
    METRICS,
    RECORD,
    RESERVED,
    SENTINEL,
)
from studies.core.events import Listener, Stream
from studies.ledger.joining import JoinedBook, check_joinable_plan, check_joined
from studies.ledger.order import record_run
from studies.ledger.retrying import announce, check_retry, retry_failed
from studies.ledger.trial_book import TrialBook
from studies.planning.fingerprint import FingerprintMismatch, check_environment, check_fingerprint
from studies.planning.plan import Plan
from studies.planning.recorded import plan_attribute
from studies.planning.settings import StopSettings
from studies.search import imported, stopping
from studies.search.batch_order import check_order
from studies.search.confirm_source import ConfirmSource
from studies.search.enqueued import from_attribute, merged, to_attribute
from studies.search.population import check_kind
from studies.search.pruners import with_resources
from studies.search.pruning import Pruning
from studies.search.search_checks import (
    check_search,
    enqueued_configs,
    imported_results,
    notes,
)
from studies.search.sources import Entry, SearchSource, Source
from studies.storage import leases
from studies.storage.belonging import check_owner, new_identity, owner
from studies.storage.leases import Lease
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.membership import Member, join_study
from studies.storage.open import Storage, create_study, exclusive, load_study, shown, storage_file

__all__ = ["CONFIRM", "Entry", "TrialBook", "check_search", "open_confirm", "open_search"]


_HELD = RESERVED | {CARRIED, CHANGES, ENQUEUED, ENTRY, SENTINEL}
"""User attributes of trials that the book, its source, samplers, pruners and rules look at."""


def open_search(
    plan: Plan,
    storage: Storage,
    *,
    listeners: Sequence[Listener] = (),
    take_over: bool = False,
    join: bool = False,
    retry: bool = False,
) -> TrialBook:
    """Open the search of ``plan``'s study; make the study if there is none.

    Args:
        plan: a plan that knows its data's fingerprint.
        storage: see ``open_storage``.
        listeners: get every event.
        take_over: take the study also from a supervisor on another machine.
        join: run it together with other supervisors, see ``studies/ledger/joining.py``.
        retry: run failed trials again, see ``studies/ledger/retrying.py``.

    Raises:
        StudyInUse: if a living process supervises the study.
        UserError: if the study cannot be joined.
        FingerprintMismatch: if the study was started with another space, data, trainer …
        ConfigError: if a sampler, pruner, option or enqueued configuration cannot be used.
    """
    check_search(plan)
    search = plan.settings.search
    stopping.check(search.stop, plan.spec.space)
    options = with_resources(search.pruner, search.pruner_options, plan.most_reports)
    pruning = (search.pruner, options, plan.spec.scientific)
    if retry:
        check_retry(plan, join=join)
    member: Member | None = None
    if join:
        study, member = _join(plan, storage)
        lease = member.lease
    else:
        study, lease = _open(plan, plan.name, storage, take_over=take_over, retry=retry)
    try:
        check_order(study, plan)
        check_kind(study.user_attrs, plan)
        if member is not None:
            check_joinable_plan(plan, member)
        source = _search_source(plan, study)
        if member is not None:
            check_joined(study, member, total=source.total, complete=plan.trials_complete)
            identity = member.in_turn(lambda: _identify(study, plan.folder, storage))
        else:
            identity = _identify(study, plan.folder, storage)
    except UserError:
        if member is not None:
            member.leave()
        else:
            leases.release(study, lease)
        raise
    study.set_user_attr(RECORD, plan_attribute(plan))
    Stream("search", listeners).emit("study", None, id=identity)
    budget = {"trials": source.total, "confirm_seeds": plan.confirm_seeds}
    if plan.trials_complete or study.user_attrs.get(BUDGET, {}).get("trials_complete"):
        budget["trials_complete"] = plan.trials_complete
    study.set_user_attr(BUDGET, budget)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    enough = 0 < plan.trials_complete <= states.count(TrialState.COMPLETE)
    if sum(state.is_finished() for state in states) < source.total and not enough:
        stream = Stream("search", listeners)
        if member is None:
            kept = study.user_attrs
            counts = [len(kept.get(name) or []) for name in (ENQUEUED, IMPORTED)]
            record_run(study, plan, known=counts[0], imported=counts[1])
        for text in notes(plan, source):
            stream.emit("message", None, text=text, level="info")
    # Before the book says how many trials are finished: the log knows of more.
    announce("search", study, listeners)
    return _book(
        plan,
        study,
        storage,
        lease,
        "search",
        source,
        pruning,
        listeners,
        stop=search.stop,
        complete=plan.trials_complete,
        batch=search.batch if search.order == "batch" else 0,
        member=member,
    )


def open_confirm(
    plan: Plan,
    storage: Storage,
    entries: Sequence[Entry],
    *,
    listeners: Sequence[Listener] = (),
    take_over: bool = False,
    retry: bool = False,
) -> TrialBook:
    """Open the confirmation ``<plan.name>.confirm``: each of ``entries`` is trained once.

    Entries that the study holds already (same params and seed) are not trained again.

    Raises:
        StudyInUse: see ``open_search``.
        FingerprintMismatch: see ``open_search``.
    """
    name = f"{plan.name}{CONFIRM}"
    study, lease = _open(plan, name, storage, take_over=take_over, retry=retry)
    source = ConfirmSource(plan, entries, study.get_trials(deepcopy=False))
    pruning: Pruning = ("none", {}, None)
    announce("confirm", study, listeners)
    return _book(plan, study, storage, lease, "confirm", source, pruning, listeners)


def _search_source(plan: Plan, study: optuna.Study) -> SearchSource:
    """Return the source of the search; enqueued and imported results are kept with the study."""
    before = from_attribute(study.user_attrs.get(ENQUEUED))
    known = merged(before, enqueued_configs(plan))
    held = imported.from_attribute(study.user_attrs.get(IMPORTED))
    results = imported.merged(held, imported_results(plan))
    source = SearchSource(plan, known, study.get_trials(deepcopy=False), imported=results)
    if len(results) > len(held):
        study.set_user_attr(IMPORTED, imported.to_attribute(results))
    if len(known) > len(before):
        study.set_user_attr(ENQUEUED, to_attribute(known))
    return source


def _open(
    plan: Plan, name: str, storage: Storage, *, take_over: bool, retry: bool
) -> tuple[optuna.Study, Lease]:
    with exclusive(storage.url):
        study = _made(plan, name, storage)
        lease = leases.take(study, force=take_over)
    try:
        if retry and retry_failed(study, storage):
            # Optuna keeps finished trials that it has read.
            study = load_study(name, storage)
    except BaseException:
        leases.release(study, lease)
        raise
    return study, lease


def _join(plan: Plan, storage: Storage) -> tuple[optuna.Study, Member]:
    with exclusive(storage.url):
        study = _made(plan, plan.name, storage)
    return study, join_study(study, storage)


def check_unowned_folder(location: StudyLocation) -> None:
    """Check that the folder holds no study's files if the study's database is missing.

    Raises:
        UserError: if it does: the database was deleted, and a new one would not fit them.
    """
    file = storage_file(location.url)
    if file is not None and (not file.exists() or (file.is_file() and file.stat().st_size == 0)):
        check_owner(location.folder, "", shown(location.url))


def _check_owner(location: StudyLocation, storage: Storage) -> None:
    """Check that the folder's files belong to the study in ``storage``, before it is made."""
    attributes = OpenedStudies(location, storage).attributes(location.name) or {}
    if FINGERPRINT not in attributes or IDENTITY in attributes:
        check_owner(location.folder, str(attributes.get(IDENTITY, "")), shown(storage.url))


def _identify(study: optuna.Study, folder: Path, storage: Storage) -> str:
    """Return the identity of ``study``, a new one if it has none; no other process writes now."""
    identity = study.user_attrs.get(IDENTITY)
    if identity is None:
        identity = owner(folder) or new_identity()
        check_owner(folder, identity, shown(storage.url))
        study.set_user_attr(IDENTITY, identity)
    folders, here = study.user_attrs.get(FOLDERS, []), str(folder)
    if here not in folders:  # commands record there that they have read the test set
        study.set_user_attr(FOLDERS, [*folders, here])
    return str(identity)


def _made(plan: Plan, name: str, storage: Storage) -> optuna.Study:
    _check_owner(plan.location, storage)
    wanted = [StudyDirection[one.upper()] for one in plan.goals.directions]
    study = create_study(name, storage, wanted)
    if FINGERPRINT not in study.user_attrs and study.directions != wanted:
        there = ", ".join(direction.name.lower() for direction in study.directions)
        raise FingerprintMismatch(
            f"study {name!r} was made by another program, with the directions {there}; choose"
            " another storage, or start fresh (--fresh)"
        )
    check_environment(study, plan.fingerprint()[1])
    check_fingerprint(study, plan.fingerprint())
    # A trial's confusion matrix and curves take many times the memory of everything else.
    # Its metrics matter to ``PruningPeers`` if there are several objectives.
    storage.hold_only(_HELD if plan.goals.several else _HELD - {METRICS})
    return study


def _book(
    plan: Plan,
    study: optuna.Study,
    storage: Storage,
    lease: Lease,
    phase: str,
    source: Source,
    pruning: Pruning,
    listeners: Sequence[Listener],
    *,
    stop: StopSettings | None = None,
    complete: int = 0,
    batch: int = 0,
    member: Member | None = None,
) -> TrialBook:
    kind: Callable[..., TrialBook] = TrialBook
    if member is not None:
        kind = functools.partial(JoinedBook, member=member)
    return kind(
        study,
        storage,
        lease=lease,
        phase=phase,
        source=source,
        goals=plan.goals,
        pruning=pruning,
        retries=plan.settings.search.retries,
        stop=stop,
        complete=complete,
        batch=batch,
        listeners=listeners,
    )
