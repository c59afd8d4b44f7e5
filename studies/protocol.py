"""The protocol of every study: search -> confirm -> test -> result.

* Search: the plan's trials, proposed by the sampler, some of them stopped by the pruner.
* Confirm: the best configuration of *each* choice of the scientific parameter, and the baseline's
  default one, are trained again at full budget on the same fresh seeds, so that they can be
  compared seed by seed. Their models are kept.
* Test: every confirmed model is evaluated on the test images. Nothing is chosen by the outcome, and
  each reading of the test set is recorded with the study before it happens.

Every step looks at what the database holds and adds what is missing. So a run that was interrupted
goes on where it stopped, and one of a finished study trains nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from mnist_core.errors import UserError
from mnist_core.files import remove_drafts
from objectives.base import Objective
from studies import engines, environment
from studies.book import Book, Entry, open_confirm, open_search
from studies.candidates import Candidate, candidates
from studies.control import Control, StudyInterrupted
from studies.events import Listener, Stream
from studies.machine import prepare_folder
from studies.plan import Plan
from studies.reading import read_test as read_with_trainer
from studies.records import TrialRecord
from studies.result import (
    ENVIRONMENT,
    StudyResult,
    failure_reasons,
    summarize,
)
from studies.running_states import RunningStates, states_folder
from studies.search.stopping import Stop
from studies.seeds import confirm_seeds
from studies.storages.storage import close_storage, one_line_errors, one_line_garbage, open_storage
from studies.test_record import TEST, Reading
from studies.trial_setup import build_objective, limits, models_folder

ObjectiveFactory = Callable[[Plan, Path | None], Objective]
"""Makes the objective of a plan; the folder, if any, is where it keeps models."""

ReadTest = Callable[[Plan, Mapping[int, Path]], Mapping[int, Mapping[str, float]]]
"""Evaluates models on the test images: files in, test metrics out, both by confirm trial."""


_PHASES = ("search", "confirm")


def run_study(
    plan: Plan,
    control: Control,
    *,
    listeners: Sequence[Listener] = (),
    objective: ObjectiveFactory | None = None,
    read_test: ReadTest | None = None,
    take_over: bool = False,
) -> StudyResult:
    """Run what is missing of the study and return its result.

    Args:
        plan: a plan that knows its data's fingerprint.
        control: holds the started engine.
        listeners: get every event.
        objective: makes the objective; by default that of ``plan.spec.objective``.
        read_test: evaluates models on the test images; by default the trainer does, in workers.
        take_over: take the study also from a supervisor on another machine.

    Raises:
        UserError: the folder or storage cannot be used, the study is being run, was begun with
            other settings, or not one of its search trials was completed.
        StudyInterrupted: it was asked to stop through ``control``.
    """
    storage = open_storage(plan.storage_url, create=True)
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(plan.storage_url))
        stack.callback(close_storage, storage)
        prepare_folder(plan.folder)
        run = _Run(plan, control, objective or build_objective, listeners)
        states = {phase: RunningStates(states_folder(plan, phase)) for phase in _PHASES}
        # The search stays leased to the end: nobody else may add trials while it is confirmed.
        with one_line_garbage(plan.storage_url):
            book = stack.enter_context(
                open_search(
                    plan,
                    storage,
                    listeners=[*listeners, states["search"]],
                    take_over=take_over,
                )
            )
        for folder in (plan.folder, models_folder(plan)):
            remove_drafts(folder)
        states["search"].tidy(book.records)
        run.work_off(book, keep_models=None)
        search = book.records()
        _check_any_complete(plan, search, book.stopped)
        with one_line_garbage(plan.storage_url):
            chosen = candidates(plan, search)
            entries = _entries(plan, chosen)
            confirm_book = stack.enter_context(
                open_confirm(
                    plan,
                    storage,
                    entries,
                    listeners=[*listeners, states["confirm"]],
                    take_over=take_over,
                )
            )
            reading = Reading.from_attribute(confirm_book.study.user_attrs.get(TEST))
        states["confirm"].tidy(confirm_book.records)
        if confirm_book.done < confirm_book.total:
            (described,) = engines.call(control.engine, environment.describe, [(plan,)])
            confirm_book.set_attribute(ENVIRONMENT, described)
        run.work_off(confirm_book, keep_models=models_folder(plan))
        confirm = confirm_book.records()
        reading = run.read_test(confirm_book, reading, chosen, confirm, read_test)
        with one_line_garbage(plan.storage_url):
            return summarize(
                plan,
                search,
                confirm,
                reading,
                environment=confirm_book.study.user_attrs.get(ENVIRONMENT),
                trained=run.trained,
                stopped=book.stopped,
            )


class _Run:
    """One run of a study."""

    def __init__(
        self,
        plan: Plan,
        control: Control,
        objective: ObjectiveFactory,
        listeners: Sequence[Listener],
    ) -> None:
        self.trained = 0
        self._plan = plan
        self._control = control
        self._objective = objective
        self._stream = Stream("test", listeners)

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
            finally:
                self._control.busy = False
        self.trained += book.done - before
        self._check_not_stopped(book)
        if book.done < book.total:
            raise RuntimeError(
                f"the engine ended the {book.phase} after {book.done} of {book.total} trials"
            )

    def read_test(
        self,
        book: Book,
        reading: Reading,
        chosen: Sequence[Candidate],
        confirm: Sequence[TrialRecord],
        read: ReadTest | None,
    ) -> Reading:
        """Evaluate the confirmed models that have no test value yet; record it with the study."""
        folder = models_folder(self._plan)
        wanted = [
            record.number
            for record in confirm
            if record.state == "COMPLETE"
            and record.number not in reading.values
            and any(record.params == candidate.params for candidate in chosen)
        ]
        models = {number: folder / f"{number}.safetensors" for number in wanted}
        missing = [number for number, path in models.items() if not path.is_file()]
        if missing:
            self._stream.emit(
                "message",
                None,
                text=f"models of confirm trials {_listed(missing)} are not in {folder}, so they"
                " have no test value",
                level="warning",
            )
        models = {number: path for number, path in models.items() if number not in missing}
        if not models:
            return reading
        self._stream.emit("phase", None, name="test", total=len(models), done=0)
        # Written first: a reading that dies midway has happened all the same.
        self._control.reading = True
        try:
            reading = reading.begun(datetime.now(UTC).isoformat(timespec="seconds"), models)
            book.set_attribute(TEST, reading.to_attribute())
            reading = reading.ended(read(self._plan, models) if read else self._read_shared(models))
            book.set_attribute(TEST, reading.to_attribute())
        finally:
            self._control.reading = False
        for number in sorted(models):
            self._stream.emit("tested", number, metrics=dict(reading.values.get(number, {})))
        return reading

    def _read_shared(self, models: Mapping[int, Path]) -> Mapping[int, Mapping[str, float]]:
        """Have each worker evaluate a share of the models."""
        numbers, workers = sorted(models), self._plan.workers
        shares = [{n: models[n] for n in numbers[first::workers]} for first in range(workers)]
        found = engines.call(
            self._control.engine,
            read_with_trainer,
            [(self._plan, share) for share in shares if share],
        )
        return {number: values for share in found for number, values in share.items()}

    def _check_not_stopped(self, book: Book) -> None:
        if self._control.asked:
            raise StudyInterrupted(book.phase, book.done, book.total)


def _entries(plan: Plan, chosen: Sequence[Candidate]) -> list[Entry]:
    """Return the trainings of the confirmation, seed by seed, so that all advance together."""
    return [
        Entry(params=candidate.params, seed=seed, attributes={"label": candidate.label})
        for seed in confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
        for candidate in _different(chosen)
    ]


def _different(chosen: Sequence[Candidate]) -> list[Candidate]:
    """Leave out a candidate whose parameters an earlier one has: it is trained once."""
    kept: list[Candidate] = []
    for candidate in chosen:
        if all(candidate.params != other.params for other in kept):
            kept.append(candidate)
    return kept


def _check_any_complete(plan: Plan, search: Sequence[TrialRecord], stopped: Stop | None) -> None:
    if any(record.state == "COMPLETE" for record in search):
        return
    reasons = failure_reasons(search)
    failed = sum(count for _, count in reasons)
    if not search:
        raise UserError(f"study {plan.name}: {stopped or 'there was no trial to run'}")
    if failed < len(search):
        raise UserError(
            f"study {plan.name}: none of its {len(search)} search trials ran its full budget"
            f" ({failed} failed, the others were pruned); raise search.trials or set"
            " search.pruner=none"
        )
    reason, count = reasons[0]
    raise UserError(
        f"study {plan.name}: all {failed} search trials failed, most often ({count} times) with"
        f" {reason}; mend it and run again, or begin anew (--fresh)"
        + (f"; search.stop.{stopped.rule} ended the search early" if stopped else "")
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
