"""The protocol of every study: search -> confirm -> test -> result.

* Search: the plan's trials, proposed by the sampler, some of them stopped by the pruner.
* Confirm: the best configuration of *each* choice of the scientific parameter, and the baseline's
  default one, are trained again at full budget on the same fresh seeds, so that they can be
  compared seed by seed; in a race, clear losers get fewer seeds. Their models are kept.
* Test: every confirmed model is evaluated on the test images, once. Nothing is chosen by the
  outcome, and each reading of the test set is recorded with the study before it happens.

Every step looks at what the database holds and adds what is missing. So a run that was interrupted
goes on where it stopped, and one of a finished study trains nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

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
from studies.core import statistics
from studies.core.attributes import ENVIRONMENT, FORKED, IDENTITY, TEST_DATA
from studies.core.events import Event, Listener, Stream
from studies.core.trials import Forked, TrialRecord
from studies.ledger.opening import Book, Entry, check_unowned_folder, open_confirm, open_search
from studies.planning import fingerprint
from studies.planning.layout import models_folder, states_folder
from studies.planning.next_commands import run_command
from studies.planning.plan import Plan
from studies.protocol.checkpoints import (
    ConfirmedElsewhere,
    Control,
    RunningStates,
    StudyInterrupted,
)
from studies.protocol.confirm import confirmed
from studies.protocol.fresh_start import inherit_record
from studies.protocol.holdout import ReadTest, read_confirmed
from studies.protocol.objective import build_objective, limits
from studies.search.population_checks import is_population
from studies.search.stopping import Stop
from studies.storage.belonging import mark
from studies.storage.leases import StudyInUse
from studies.storage.open import (
    check_sound,
    close_storage,
    one_line_errors,
    one_line_garbage,
    open_storage,
)

ObjectiveFactory = Callable[[Plan, Path | None], Objective]
"""Makes the objective of a plan; the folder, if any, is where it keeps models."""


_PHASES = ("search", "confirm")


def run_study(
    plan: Plan,
    control: Control,
    *,
    listeners: Sequence[Listener] = (),
    objective: ObjectiveFactory | None = None,
    read_test: ReadTest | None = None,
    take_over: bool = False,
    join: bool = False,
    read_test_again: bool = False,
    retry_failed: bool = False,
) -> StudyResult:
    """Run what is missing of the study and return its result.

    Args:
        plan: a plan that knows its data's fingerprint.
        control: holds the started engine.
        listeners: get every event.
        objective: makes the objective; by default that of ``plan.spec.objective``.
        read_test: evaluates models on the test images; by default the trainer does, in workers.
        take_over: take the study also from a supervisor on another machine.
        join: search together with all others that do so; one of them confirms and tests.
        read_test_again: read the test set also when it was read before, for what has no test value.
        retry_failed: run failed trials again first, see ``studies/ledger/retrying.py``.

    Raises:
        UserError: the folder or storage cannot be used, the study is being run, was begun with
            other settings, or not one of its search trials was completed.
        StudyInterrupted: it was asked to stop through ``control``.
        ConfirmedElsewhere: the search is over, and another of those who joined confirms it.
    """
    check_unowned_folder(plan.location)
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(plan.storage_url))
        storage = open_storage(plan.storage_url, create=True)
        with one_line_garbage(plan.storage_url):
            storage, inherited = inherit_record(plan, storage)
        stack.push(lambda kind, *_: check_sound(plan.storage_url) if kind is None else None)
        stack.callback(close_storage, storage)
        prepare_folder(plan.folder, "results.folder")
        run = _Run(plan, control, objective or build_objective)
        states = {phase: RunningStates(states_folder(plan.folder, phase)) for phase in _PHASES}
        # The search stays leased to the end: nobody else may add trials while it is confirmed.
        with one_line_garbage(plan.storage_url):
            book = stack.enter_context(
                open_search(
                    plan,
                    storage,
                    listeners=[*listeners, states["search"]],
                    take_over=take_over,
                    join=join,
                    retry=retry_failed,
                )
            )
        mark(plan.folder, str(book.study.user_attrs[IDENTITY]))
        for text in inherited:
            Stream("search", listeners).emit("message", None, text=text, level="warning")
        _keep_test_data(plan, book)
        if not join:  # others may be writing
            for folder in (plan.folder, models_folder(plan.folder)):
                remove_drafts(folder)
            states["search"].tidy(lambda: book.records(brief=True))
        run.work_off(book, keep_models=None)
        if (wanted := plan.trials_complete) and book.stopped is None:
            Stream("search", listeners).emit(
                "message",
                None,
                text=f"search.trials_complete: {wanted} were to be complete, but fewer are after"
                f" {book.total} trials, the most that search.trials allows",
                level="warning",
            )
        # A population's schedule is among what its members left.
        search = book.records(brief=not is_population(plan))
        check_feasible(plan, search)
        _check_any_complete(plan, search, book.stopped)
        with one_line_garbage(plan.storage_url):
            chosen = candidates(plan, search)

        def open_book(entries: Sequence[Entry]) -> Book:
            with one_line_garbage(plan.storage_url):
                try:
                    return open_confirm(
                        plan,
                        storage,
                        entries,
                        listeners=[*listeners, states["confirm"], _look_ahead],
                        take_over=take_over,
                        retry=retry_failed,
                    )
                except StudyInUse as busy:
                    if join:
                        raise ConfirmedElsewhere(str(busy)) from None
                    raise

        def work_off(book: Book) -> None:
            states["confirm"].tidy(book.records)
            if book.done < book.total:
                data = plan.train.data
                (described,) = engines.call(control.engine, fingerprint.describe, [(data,)])
                book.set_attribute(ENVIRONMENT, described)
            run.work_off(book, keep_models=models_folder(plan.folder))

        confirm = stack.enter_context(
            confirmed(
                plan,
                chosen,
                open_book=open_book,
                work_off=work_off,
                stream=Stream("confirm", listeners),
            )
        )
        attributes = confirm.book.study.user_attrs
        outside = command_readings(book.study.user_attrs, plan.folder)
        reading = read_record(attributes, plan.storage_url, outside)
        reading = read_confirmed(
            plan,
            confirm.book,
            reading,
            chosen=chosen,
            records=confirm.records,
            control=control,
            stream=Stream("test", listeners),
            read=read_test,
            again=read_test_again,
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
                trials=book.trials,
            )


class _Run:
    """One run of a study."""

    def __init__(
        self,
        plan: Plan,
        control: Control,
        objective: ObjectiveFactory,
    ) -> None:
        self.trained = 0
        self._plan = plan
        self._control = control
        self._objective = objective

    def work_off(self, book: Book, *, keep_models: Path | None) -> None:
        """Train what ``book`` still lacks.

        Raises:
            StudyInterrupted: something is missing still, or nothing more is to be begun.
        """
        before = book.done
        if before < book.total:
            self._check_not_stopped(book)
            self._control.busy = True
            try:
                objective = self._objective(self._plan, keep_models)
                self._control.engine.run(book, objective, limits(self._plan))
                while book.wait_for_others(lambda: self._control.asked > 0):
                    self._control.engine.run(book, objective, limits(self._plan))
            finally:
                self._control.busy = False
        self.trained += book.done - before
        self._check_not_stopped(book)
        if book.done < book.total:
            raise RuntimeError(
                f"the engine ended the {book.phase} after {book.done} of {book.total} trials"
            )

    def _check_not_stopped(self, book: Book) -> None:
        if self._control.asked:
            raise StudyInterrupted(book.phase, book.done, book.total)


def _keep_test_data(plan: Plan, book: Book) -> None:
    """Record the test files when a study that was begun without them first sees them.

    Raises:
        UserError: they are not those that it saw first.
    """
    if not plan.test_data:
        return
    before = book.study.user_attrs.get(TEST_DATA)
    if before is None:
        book.set_attribute(TEST_DATA, plan.test_data)
    elif before != plan.test_data:
        raise UserError(
            f"study {plan.name}: its test set was changed after the study saw it first (data"
            f" fingerprint {before} -> {plan.test_data}); put the test files back"
        )


def _look_ahead(event: Event) -> None:
    """Get ready, while workers train, for what comes when none does: the study's summing up."""
    if event.kind == "report":
        statistics.warm_up()


def _check_any_complete(plan: Plan, search: Sequence[TrialRecord], stopped: Stop | None) -> None:
    if any(record.state == "COMPLETE" for record in search):
        return
    reasons = failure_reasons(search)
    failed = sum(count for _, count in reasons)
    if not search:
        raise UserError(f"study {plan.name}: {stopped or 'there was no trial to run'}")
    if failed < len(search):
        raise UserError(
            f"study {plan.name}: none of its {counted(len(search), 'search trial')} ran its"
            " full budget"
            f" ({failed} failed, the others were pruned); raise search.trials, set"
            " search.pruner=none, or mend what failed and run it again (--retry-failed)"
        )
    reason, count = reasons[0]
    every = "its one search trial" if failed == 1 else f"all {failed} search trials"
    raise UserError(
        f"study {plan.name}: {every} failed, most often ({counted(count, 'time')}) with {reason}"
        + (f" (search.stop.{stopped.rule} ended the search early)" if stopped else "")
        + f"; mend it, and run them again: {run_command(plan)} --retry-failed"
    )
