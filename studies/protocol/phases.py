"""The protocol of every study: search -> confirm -> test -> result.

* Search: the plan's trials, proposed by the sampler; the pruner stops some of them.
* Confirm: the best configurations of *each* choice of the scientific parameter, and the baseline's
  default, are trained again at full budget. They get the same fresh seeds, so that they can be
  compared seed by seed. After two seeds only the leader of each choice gets more, and in a race
  clear losers get fewer. Their models are kept.
* Test: every confirmed model is evaluated on the test images, once, see ``holdout.py``.

Every step adds what the database lacks. So an interrupted run resumes where it stopped.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from mnist_core.files import prepare_folder, remove_drafts
from objectives.base import Objective
from studies import engines
from studies.analysis.candidates import candidates
from studies.analysis.holdout_record import command_readings, read_record
from studies.analysis.pareto import check_feasible
from studies.analysis.result import StudyResult
from studies.analysis.summary import failure_reasons, summarize
from studies.core.attributes import ENVIRONMENT, FORKED, IDENTITY, LEARNED
from studies.core.events import Event, Listener, Stream
from studies.core.seeds import confirm_seeds
from studies.core.trials import Forked, TrialRecord
from studies.ledger.opening import Entry, TrialBook, open_confirm, open_search
from studies.planning import fingerprint
from studies.planning.commits import commits
from studies.planning.layout import models_folder, states_folder
from studies.planning.plan import Plan
from studies.protocol.checkpoints import RunningStates
from studies.protocol.confirm import Later, Rules, confirmed
from studies.protocol.control import ConfirmedElsewhere, Control
from studies.protocol.fresh_start import inherit_record
from studies.protocol.holdout import (
    ReadTest,
    confirmed_models,
    keep_test_data,
    read_confirmed,
    read_shared,
)
from studies.protocol.inherited_readings import Heir
from studies.protocol.objective import build_objective, limits
from studies.search.stopping import Stop
from studies.statistics import intervals
from studies.storage.belonging import check_unowned_folder, mark
from studies.storage.leases import StudyInUse
from studies.storage.open import (
    Storage,
    check_sound,
    close_storage,
    one_line_errors,
    one_line_garbage,
    open_storage,
)

ObjectiveFactory = Callable[[Plan, Path | None], Objective]
"""Makes the objective of a plan; the folder, if any, is for its models."""


class RunOptions(TypedDict, total=False):
    """Options of one run, all off by default.

    Attributes:
        take_over: take the study also from a supervisor on another machine.
        join: search together with all supervisors that join; one of them confirms and tests.
        read_test_again: read the test set also if it was read before, for models without a value.
        retry_failed: run failed trials again first, see ``studies/ledger/retrying.py``.
    """

    take_over: bool
    join: bool
    read_test_again: bool
    retry_failed: bool


def run_study(
    plan: Plan,
    control: Control,
    *,
    listeners: Sequence[Listener] = (),
    objective: ObjectiveFactory | None = None,
    read_test: ReadTest | None = None,
    **options: Unpack[RunOptions],
) -> StudyResult:
    """Run what is missing of the study and return its result.

    Args:
        plan: the study's; it knows its data's fingerprint.
        control: holds the started engine.
        objective: makes the objective; by default that of ``plan.spec.objective``.
        read_test: evaluates models on the test images; by default the trainer does, in workers.

    Raises:
        UserError: if the folder or storage cannot be used, the study is being run or has other
            settings, or none of its search trials was completed.
        StudyInterrupted: if it was stopped through ``control``.
        ConfirmedElsewhere: if the search has finished, and another supervisor confirms it.
    """
    # Before the storage is opened, which makes a database where there is none.
    check_unowned_folder(plan.location)
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(plan.storage_url))
        storage = open_storage(plan.storage_url, create=True)
        with one_line_garbage(plan.storage_url):
            heir = Heir(plan.location, plan.adapter.data_name, plan.goals)
            storage, inherited = inherit_record(heir, storage)
        stack.push(lambda kind, *_: check_sound(plan.storage_url) if kind is None else None)
        stack.callback(close_storage, storage)
        prepare_folder(plan.folder, "results.folder")
        make = objective or build_objective
        run = _Run(plan, control, storage, listeners, make, **options)
        # The search stays leased to the end: no other process may add trials while it is confirmed.
        book = stack.enter_context(run.open_search())
        mark(plan.folder, str(book.study.user_attrs[IDENTITY]))
        for text in inherited:
            run.warn(text)
        keep_test_data(plan.name, plan.test_data, book)
        search = run.search(book)
        with one_line_garbage(plan.storage_url):
            front = plan.settings.confirm.front
            chosen = candidates(plan.spec, plan.goals, search, front=front, top=plan.top)
        seeds = confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
        racing = plan.settings.confirm.racing
        confirm = stack.enter_context(
            confirmed(
                Rules(plan.spec, seeds, chosen, racing=racing),
                open_book=run.open_confirm,
                run_remaining=run.confirm,
                stream=Stream("confirm", listeners),
            )
        )
        attributes = confirm.book.study.user_attrs
        outside = command_readings(book.study.user_attrs, plan.folder)
        reading = read_confirmed(
            confirm.book,
            read_record(attributes, plan.storage_url, outside),
            models=confirmed_models(
                plan.adapter, models_folder(plan.folder), chosen, confirm.records
            ),
            adapter=plan.adapter,
            read=read_test or read_shared(control.engine, plan.workers),
            control=control,
            stream=Stream("test", listeners),
            again=run.read_test_again,
        )
        with one_line_garbage(plan.storage_url):
            return summarize(
                plan,
                search,
                confirm.records,
                reading,
                environment=attributes.get(ENVIRONMENT),
                trained=run.trained,
                stopped=book.stopped,
                race=confirm.race,
                forked=Forked.from_attribute(book.study.user_attrs.get(FORKED)),
                learned=book.study.user_attrs.get(LEARNED),
                trials=book.trials,
            )


@dataclass
class _Run:
    """One run of a study on an open storage; ``trained`` counts its trainings."""

    plan: Plan
    control: Control
    storage: Storage
    listeners: Sequence[Listener]
    objective: ObjectiveFactory
    take_over: bool = False
    join: bool = False
    read_test_again: bool = False
    retry_failed: bool = False
    trained: int = 0

    def open_search(self) -> TrialBook:
        with one_line_garbage(self.plan.storage_url):
            return open_search(
                self.plan,
                self.storage,
                listeners=[*self.listeners, self._states("search")],
                take_over=self.take_over,
                join=self.join,
                retry=self.retry_failed,
            )

    def search(self, book: TrialBook) -> Sequence[TrialRecord]:
        plan = self.plan
        if not self.join:  # or other supervisors may be writing
            for folder in (plan.folder, models_folder(plan.folder)):
                remove_drafts(folder)
            self._states("search").tidy(lambda: book.records(brief=True))
        self._run_remaining(book, keep_models=None)
        if (wanted := plan.trials_complete) and book.stopped is None:
            self.warn(
                f"search.trials_complete: fewer than {wanted} trials are complete after"
                f" {book.total} trials, the most that search.trials allows"
            )
        # The records of a population's members hold its schedule.
        with one_line_garbage(plan.storage_url):
            search = book.records(brief=not plan.settings.population)
        check_feasible(plan.name, plan.goals, search)
        self._check_any_complete(search, book.stopped)
        return search

    def open_confirm(self, entries: Sequence[Entry], later: Later) -> TrialBook:
        with one_line_garbage(self.plan.storage_url):
            try:
                return open_confirm(
                    self.plan,
                    self.storage,
                    entries,
                    later=later,
                    listeners=[*self.listeners, self._states("confirm"), _look_ahead],
                    take_over=self.take_over,
                    retry=self.retry_failed,
                )
            except StudyInUse as busy:
                if self.join:
                    raise ConfirmedElsewhere(str(busy)) from None
                raise

    def confirm(self, book: TrialBook) -> None:
        self._states("confirm").tidy(book.records)
        if book.done < book.total:
            asked = [(self.plan.adapter,)]
            (described,) = engines.call(self.control.engine, fingerprint.describe, asked)
            # Not in the worker: Ray sends it a copy of the code, without its checkout.
            book.set_attribute(ENVIRONMENT, {**described, "code": commits()})
        self._run_remaining(book, keep_models=models_folder(self.plan.folder))

    def warn(self, text: str) -> None:
        Stream("search", self.listeners).emit("message", None, text=text, level="warning")

    def _states(self, phase: str) -> RunningStates:
        return RunningStates(states_folder(self.plan.folder, phase))

    def _run_remaining(self, book: TrialBook, *, keep_models: Path | None) -> None:
        before, control = book.done, self.control
        if before < book.total:
            control.check(book.phase, before, book.total)
            control.busy = True
            try:
                objective = self.objective(self.plan, keep_models)
                taken = limits(self.plan.settings.engine)
                control.engine.run(book, objective, taken)
                # With --join, a supervisor that dies leaves trials to those that have finished.
                while book.wait_for_others(lambda: control.asked > 0):
                    control.engine.run(book, objective, taken)
            finally:
                control.busy = False
        self.trained += book.done - before
        control.check(book.phase, book.done, book.total)
        if book.done < book.total:
            raise RuntimeError(
                f"the engine ended the {book.phase} after {book.done} of {book.total} trials"
            )

    def _check_any_complete(self, search: Sequence[TrialRecord], stopped: Stop | None) -> None:
        if any(record.complete for record in search):
            return
        name = self.plan.name
        reasons = failure_reasons(search)
        failed = sum(count for _, count in reasons)
        if not search:
            raise UserError(f"study {name}: {stopped or 'there was no trial to run'}")
        if failed < len(search):
            raise UserError(
                f"study {name}: none of its {counted(len(search), 'search trial')} ran its full"
                f" budget ({failed} failed, the others were pruned); raise search.trials, set"
                " search.pruner=none, or repair what failed and run it again (--retry-failed)"
            )
        reason, count = reasons[0]
        every = "its one search trial" if failed == 1 else f"all {failed} search trials"
        raise UserError(
            f"study {name}: {every} failed, most often ({counted(count, 'time')}) with {reason}"
            + (f" (search.stop.{stopped.rule} ended the search early)" if stopped else "")
            + f"; repair it, and run them again: {self.plan.commands.run('--retry-failed')}"
        )


def _look_ahead(event: Event) -> None:
    # Workers train meanwhile, so the study's summary need not wait for scipy at the end.
    if event.kind == "report":
        intervals.warm_up()
