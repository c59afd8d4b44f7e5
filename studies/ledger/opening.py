"""Opening a study's trial book: its search, or its confirmation."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    LABEL,
    LEARNED,
    METRICS,
    RECORD,
    RESERVED,
    SENTINEL,
)
from studies.core.events import Listener, Stream
from studies.core.trials import TrialRecord
from studies.ledger.earlier_studies import EarlierStudies
from studies.ledger.joining import JoinedBook, check_joinable, check_joined
from studies.ledger.order import record_run
from studies.ledger.retrying import announce, check_retry, retry_failed
from studies.ledger.trial_book import TrialBook
from studies.planning.fingerprint import FingerprintMismatch, check_environment, check_fingerprint
from studies.planning.plan import Plan
from studies.planning.recorded import plan_attribute
from studies.search import imported, stopping
from studies.search.batch_order import check_order, order_of
from studies.search.confirm_source import ConfirmSource
from studies.search.earlier import EarlierStudy
from studies.search.enqueued import from_attribute, merged, read_enqueued_files, to_attribute
from studies.search.population import check_kind
from studies.search.pruners import pausing_of, with_resources
from studies.search.search_checks import check_search, notes
from studies.search.sources import Entry, SearchSource
from studies.storage import leases
from studies.storage.belonging import check_folder, check_owner, new_identity, owner
from studies.storage.leases import Lease
from studies.storage.membership import Member, join_study
from studies.storage.open import (
    Storage,
    create_study,
    exclusive,
    load_study,
    name_metrics,
    shown,
)

__all__ = ["CONFIRM", "Entry", "TrialBook", "check_search", "open_confirm", "open_search"]


_HELD = RESERVED | {CARRIED, CHANGES, ENQUEUED, ENTRY, LABEL, LEARNED, SENTINEL}
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
    stopping.check(plan.settings.search.stop, plan.spec.space)
    if retry:
        check_retry(population=plan.settings.population, join=join)
    opening = _Opening(plan, storage, listeners)
    return opening.search(take_over=take_over, join=join, retry=retry)


def open_confirm(
    plan: Plan,
    storage: Storage,
    entries: Sequence[Entry],
    *,
    later: Callable[[Sequence[TrialRecord]], int] | None = None,
    listeners: Sequence[Listener] = (),
    take_over: bool = False,
    retry: bool = False,
) -> TrialBook:
    """Open the confirmation: each of ``entries`` that it does not hold is trained once.

    Args:
        plan: the study's.
        storage: where the study is.
        entries: the trainings that are due.
        later: the most trainings that come due after these, given those of the study; the live
            view counts them.
        listeners: get every event.
        take_over: see ``open_search``.
        retry: likewise.

    Raises:
        StudyInUse: see ``open_search``.
        FingerprintMismatch: see ``open_search``.
    """
    study, lease = _Opening(plan, storage, listeners).leased(
        f"{plan.name}{CONFIRM}", take_over=take_over, retry=retry
    )
    announce("confirm", study, listeners)
    return TrialBook(
        study,
        storage,
        lease=lease,
        phase="confirm",
        source=ConfirmSource(plan.spec.space, entries, study.get_trials(deepcopy=False)),
        goals=plan.goals,
        pruning=("none", {}, None),
        retries=plan.settings.search.retries,
        later=later,
        listeners=listeners,
    )


@dataclass(frozen=True)
class _Opening:
    """A study of ``plan`` that is being opened in ``storage``."""

    plan: Plan
    storage: Storage
    listeners: Sequence[Listener]

    def search(self, *, take_over: bool, join: bool, retry: bool) -> TrialBook:
        plan, settings = self.plan, self.plan.settings.search
        earlier = EarlierStudies(plan, self.storage)
        read = earlier.read()
        member: Member | None = None
        if join:
            study, member = self._joined()
            lease = member.lease
        else:
            study, lease = self.leased(plan.name, take_over=take_over, retry=retry)
        try:
            check_order(study, order_of(settings, plan.threads))
            check_kind(plan.name, study.user_attrs, plan.settings)
            if member is not None:
                check_joinable(plan.settings, member)
            joined = member is not None
            keep = functools.partial(earlier.keep, study, read, joined=joined)
            source = self._source(study, keep() if member is None else member.in_turn(keep))
            if member is not None:
                check_joined(study, member, total=source.total, complete=plan.trials_complete)
                identity = member.in_turn(lambda: self._identify(study))
            else:
                identity = self._identify(study)
        except UserError:
            if member is not None:
                member.leave()
            else:
                leases.release(study, lease)
            raise
        self._keep_budget(study, source.total)
        stream = Stream("search", self.listeners)
        stream.emit("study", None, id=identity)
        # A finished study is only looked at.
        if self._has_work(study, source.total):
            if member is None:
                self._record_run(study)
            for text in notes(plan, source):
                stream.emit("message", None, text=text, level="info")
        for text in earlier.ignored(study):
            stream.emit("message", None, text=text, level="info")
        # Before the book says how many trials are finished: the log knows of more.
        announce("search", study, self.listeners)
        options = with_resources(settings.pruner, settings.pruner_options, plan.most_reports)
        book = TrialBook if member is None else functools.partial(JoinedBook, member=member)
        return book(
            study,
            self.storage,
            lease=lease,
            phase="search",
            source=source,
            goals=plan.goals,
            pruning=(settings.pruner, options, plan.spec.scientific),
            retries=settings.retries,
            stop=settings.stop,
            reports_per_epoch=plan.adapter.reports_per_epoch,
            pausing=pausing_of(
                settings, plan.spec, reports=plan.most_reports, may_prune=source.may_prune
            ),
            complete=plan.trials_complete,
            batch=settings.batch if settings.order == "batch" else 0,
            listeners=self.listeners,
        )

    def leased(self, name: str, *, take_over: bool, retry: bool) -> tuple[optuna.Study, Lease]:
        """Return study ``name``, leased to this process."""
        # Four processes that made a new SQLite database at once failed in 9 of 12 tries.
        with exclusive(self.storage.url):
            study = self._made(name)
            lease = leases.take(study, force=take_over)
        try:
            if retry and retry_failed(study, self.storage):
                # Optuna keeps finished trials that it has read.
                study = load_study(name, self.storage)
        except BaseException:
            leases.release(study, lease)
            raise
        return study, lease

    def _joined(self) -> tuple[optuna.Study, Member]:
        with exclusive(self.storage.url):
            study = self._made(self.plan.name)
        return study, join_study(study, self.storage)

    def _made(self, name: str) -> optuna.Study:
        plan = self.plan
        check_folder(plan.location, self.storage)
        wanted = [StudyDirection[one.upper()] for one in plan.goals.directions]
        study = create_study(name, self.storage, wanted)
        # Without a fingerprint it was made just now, or by another program.
        if FINGERPRINT not in study.user_attrs and study.directions != wanted:
            there = ", ".join(direction.name.lower() for direction in study.directions)
            raise FingerprintMismatch(
                f"study {name!r} was made by another program, with the directions {there}; choose"
                " another storage, or start fresh (--fresh)"
            )
        check_environment(study, plan.fingerprint()[1])
        check_fingerprint(study, plan.fingerprint())
        name_metrics(study, plan.goals.names)
        # A trial's confusion matrix and curves take many times the memory of everything else.
        # Its metrics matter to ``PruningPeers`` if there are several objectives.
        self.storage.hold_only(_HELD if plan.goals.several else _HELD - {METRICS})
        return study

    def _source(self, study: optuna.Study, learned: Sequence[EarlierStudy]) -> SearchSource:
        settings, space = self.plan.settings.search, self.plan.spec.space
        before = from_attribute(study.user_attrs.get(ENQUEUED))
        known = merged(before, read_enqueued_files(settings.enqueue, space))
        held = imported.from_attribute(study.user_attrs.get(IMPORTED))
        given = imported.read_result_files(settings.imports, space, self.plan.goals.names)
        results = imported.merged(held, given)
        trials = study.get_trials(deepcopy=False)
        source = SearchSource(self.plan, known, trials, imported=results, earlier=learned)
        if len(results) > len(held):
            study.set_user_attr(IMPORTED, imported.to_attribute(results))
        if len(known) > len(before):
            study.set_user_attr(ENQUEUED, to_attribute(known))
        return source

    def _identify(self, study: optuna.Study) -> str:
        """Return the study's identity, a new one if it has none; no other process writes now."""
        folder, identity = self.plan.folder, study.user_attrs.get(IDENTITY)
        if identity is None:
            identity = owner(folder) or new_identity()
            check_owner(folder, identity, shown(self.storage.url))
            study.set_user_attr(IDENTITY, identity)
        folders, here = study.user_attrs.get(FOLDERS, []), str(folder)
        if here not in folders:  # commands record there that they have read the test set
            study.set_user_attr(FOLDERS, [*folders, here])
        return str(identity)

    def _keep_budget(self, study: optuna.Study, trials: int) -> None:
        plan = self.plan
        study.set_user_attr(RECORD, plan_attribute(plan))
        budget = {"trials": trials, "confirm_seeds": plan.confirm_seeds}
        if plan.trials_complete or study.user_attrs.get(BUDGET, {}).get("trials_complete"):
            budget["trials_complete"] = plan.trials_complete
        study.set_user_attr(BUDGET, budget)

    def _has_work(self, study: optuna.Study, total: int) -> bool:
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        enough = 0 < self.plan.trials_complete <= states.count(TrialState.COMPLETE)
        return sum(state.is_finished() for state in states) < total and not enough

    def _record_run(self, study: optuna.Study) -> None:
        plan = self.plan
        facts = {
            "trials": plan.trials,
            "trials_per_choice": plan.trials_per_choice,
            "workers": plan.workers,
            "known": len(study.user_attrs.get(ENQUEUED) or []),
            "imported": len(study.user_attrs.get(IMPORTED) or []),
        }
        record_run(study, self.plan.settings.search, facts)
