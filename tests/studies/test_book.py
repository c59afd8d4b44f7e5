"""The book by itself: a script plays the engine."""

import dataclasses
import logging
import math
import time

import optuna
import pytest
import toys
from toy_plans import DEFAULTS, SPACE, toy_plan

from mnist_core.errors import UserError
from objectives.base import Outcome
from search_spaces.space import Float, Space
from studies.core.attributes import CONFIRM, FINGERPRINT, IDENTITY
from studies.core.seeds import confirm_seeds, trial_seed
from studies.core.trials import Failure
from studies.engines.inline import Inline
from studies.ledger.opening import Entry, open_confirm, open_search
from studies.planning.fingerprint import FingerprintMismatch
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials

LOST = Failure(kind="WorkerLost", message="killed by SIGKILL", traceback="tail")
EARLY = {"n_startup_trials": 1, "n_warmup_steps": 2}
"""A pruner's options: it judges one full trial after another, from the second report on."""


@pytest.fixture
def storage(tmp_path):
    storage = open_storage(f"journal:///{tmp_path / 'log'}", create=True)
    yield storage
    close_storage(storage)


@pytest.fixture
def opened(tmp_path, storage):
    """Open the toy study's search; at the end of the test it is closed."""
    books = []

    def open_it(*, listeners=(), **options):
        books.append(open_search(toy_plan(tmp_path, **options), storage, listeners=listeners))
        return books[-1]

    yield open_it
    for book in books:
        book.close()


def metrics(value):
    return {"val_accuracy": value, "val_loss": 1.0}


def begin(book):
    task = book.ask()
    book.started(task, 1)
    return task


def complete(book, task, value=0.5):
    for step in (1, 2):
        assert book.report(task, step, metrics(value * step / 2))
        book.flush()
    book.finish(task, Outcome(metrics=metrics(value), attributes={"device": "cpu"}))


def states(book):
    return [record.state for record in book.records()]


def test_a_trial_that_runs_to_its_end(opened):
    book = opened(trials=3)
    task = begin(book)
    assert (task.number, task.attempt) == (0, 0)
    assert task.params == {"kind": "fast", **DEFAULTS["fast"]}
    assert task.seed == trial_seed(0, 0)
    assert states(book) == ["RUNNING"]
    complete(book, task, 0.75)
    (record,) = book.records()
    assert record.state == "COMPLETE"
    assert record.value == 0.75
    assert record.curve == {1: 0.375, 2: 0.75}
    assert record.metrics == metrics(0.75)
    assert record.params == task.params
    assert record.seed == task.seed
    assert record.attributes == {"device": "cpu"}
    assert 0 < record.seconds < 600
    assert record.started <= record.ended
    assert (book.done, book.total) == (1, 3)


def test_defaults_first_then_each_choice_its_share_then_the_sampler(opened):
    book = opened(trials=20)
    tasks = []
    while (task := book.ask()) is not None:
        tasks.append(task)
        complete(book, task)
    assert len(tasks) == 20
    assert [task.number for task in tasks] == list(range(20))
    assert [task.params for task in tasks[:2]] == [
        {"kind": kind, **params} for kind, params in DEFAULTS.items()
    ]
    assert [task.params["kind"] for task in tasks[2:4]] == ["fast", "slow"]
    for task in tasks:
        SPACE.check(task.params)
        assert task.seed == trial_seed(0, task.number)
    assert len({task.params["x"] for task in tasks}) == 19


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(tmp_path, sampler):
    def proposals(folder, stops):
        folder.mkdir()
        plan = toy_plan(folder, trials=16, sampler=sampler)
        storage = open_storage(plan.storage_url, create=True)
        seen = []
        for stop in (*stops, 16):
            with open_search(plan, storage) as book:
                while len(seen) < stop and (task := book.ask()) is not None:
                    seen.append(task)
                    complete(book, task, task.params["x"])
        close_storage(storage)
        return seen

    assert proposals(tmp_path / "one", []) == proposals(tmp_path / "two", [3, 11, 12])


class Dies(BaseException):
    """Stands for the death of the supervisor."""


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "nsga2"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_death_amid_a_proposal_does_not_change_it(tmp_path, monkeypatch, sampler, after):
    """Params are written one by one, so a trial may be left with some of them."""
    real = optuna.Trial._suggest

    def proposals(folder, deaths):
        folder.mkdir()
        plan = toy_plan(folder, trials=14, sampler=sampler)
        storage = open_storage(plan.storage_url, create=True)
        seen = []
        for death in (*deaths, None):
            calls = 0

            def dying(trial, name, distribution, death=death):
                nonlocal calls
                if trial.number == death:
                    calls += 1
                    if calls > after:
                        raise Dies
                return real(trial, name, distribution)

            monkeypatch.setattr(optuna.Trial, "_suggest", dying)
            book = open_search(plan, storage)
            try:
                while (task := book.ask()) is not None:
                    seen.append(task)
                    complete(book, task, task.params["x"])
            except Dies:
                continue
            book.close()
            break
        close_storage(storage)
        return seen

    assert proposals(tmp_path / "one", []) == proposals(tmp_path / "two", [1, 3, 6, 13])


def test_the_budget_is_a_total_over_all_resumes(tmp_path, storage):
    plan = toy_plan(tmp_path, trials=4)
    for done, trials in ((0, 4), (4, 4), (4, 6), (6, 2)):
        with open_search(dataclasses.replace(plan, trials=trials), storage) as book:
            assert book.done == done
            while (task := book.ask()) is not None:
                complete(book, task)
    assert len(book.records()) == 6


def test_pruned_by_the_pruner(opened):
    book = opened(trials=20, pruner="median", pruner_options=EARLY)
    for _ in range(4):
        complete(book, begin(book), 0.8)
    task = begin(book)
    assert book.report(task, 1, metrics(0.1))  # too early to judge
    assert not book.report(task, 2, metrics(0.15))
    book.finish(task, Outcome(metrics=metrics(0.15), stopped=True, attributes={"device": "cpu"}))
    record = book.records()[4]
    assert (record.state, record.value) == ("PRUNED", 0.15)
    assert record.curve == {1: 0.1, 2: 0.15}
    assert record.attributes == {"device": "cpu"}
    assert book.study.get_trials(deepcopy=False)[4].value == 0.15  # as Optuna's samplers have it


def test_a_default_configuration_goes_on_where_the_pruner_would_stop_it(opened):
    book = opened(trials=20, pruner="median", pruner_options=EARLY)
    default = begin(book)
    while len(book.trials) < 8:
        complete(book, begin(book), 0.8)
    complete(book, default, 0.01)  # each report is answered: go on
    while (task := begin(book)).params["kind"] != default.params["kind"]:
        complete(book, task, 0.8)
    answers = [book.report(task, step, metrics(0.005 * step)) for step in (1, 2)]
    assert answers == [True, False]


def test_a_report_that_could_not_be_written_is_written_later(opened, storage, monkeypatch):
    book = opened(trials=3)
    task = begin(book)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "set_trial_intermediate_values", lambda *_: 1 / 0)
        assert book.report(task, 1, metrics(0.5))
        with pytest.raises(ZeroDivisionError):
            book.flush()
    book.flush()
    (trial,) = storage.get_all_trials(book.study._study_id, deepcopy=False)
    assert trial.intermediate_values == {1: 0.5}


def test_default_configurations_are_never_pruned(opened):
    book = opened(trials=20, pruner="percentile", pruner_options={"n_startup_trials": 0})
    first, second = begin(book), begin(book)  # the defaults
    third, fourth = begin(book), begin(book)  # the same choices, by the sampler
    for task in (third, fourth):
        complete(book, task, 0.9)
    for task in (first, second):
        complete(book, task, 0.01)
    assert states(book) == ["COMPLETE"] * 4


def test_a_training_that_ignored_the_stop_ran_its_full_budget(opened):
    book = opened(trials=20, pruner="median", pruner_options=EARLY)
    for _ in range(4):
        complete(book, begin(book), 0.8)
    task = begin(book)
    assert not book.report(task, 2, metrics(0.1))
    book.finish(task, Outcome(metrics=metrics(0.1)))
    assert book.records()[4].state == "COMPLETE"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_failure(opened, value):
    book = opened(trials=8)
    at_the_end = begin(book)
    book.finish(at_the_end, Outcome(metrics=metrics(value)))
    on_the_way = begin(book)
    assert book.report(on_the_way, 1, metrics(0.5))
    assert not book.report(on_the_way, 2, metrics(value))
    book.finish(on_the_way, Outcome(metrics=metrics(value), stopped=True))
    one, two = book.records()
    assert (one.state, one.failure.kind, one.value) == ("FAIL", "NonFiniteLoss", None)
    assert (two.state, two.failure.kind, two.curve) == ("FAIL", "NonFiniteLoss", {1: 0.5})
    assert math.isnan(two.metrics["val_accuracy"])


def test_other_metrics_may_be_anything(opened):
    book = opened(trials=8)
    task = begin(book)
    book.finish(task, Outcome(metrics={"val_accuracy": 0.5, "val_loss": math.inf}))
    (record,) = book.records()
    assert record.state == "COMPLETE"
    assert math.isnan(record.metrics["val_loss"])


def test_an_outcome_without_the_metric_or_with_strange_attributes(opened):
    book = opened(trials=8)
    book.finish(begin(book), Outcome(metrics={"accuracy": 0.5}))
    task = begin(book)
    assert not book.report(task, 1, {"accuracy": 0.5})
    book.finish(task, Outcome(metrics={"accuracy": 0.5}, stopped=True))
    book.finish(begin(book), Outcome(metrics=metrics(0.5), attributes={"odd": {1, 2}}))
    failures = [record.failure for record in book.records()]
    assert [failure.kind for failure in failures] == [
        "MissingMetric",
        "MissingMetric",
        "BadOutcome",
    ]
    assert "val_accuracy" in failures[0].message
    assert "odd" in failures[2].message


def test_a_failure_keeps_its_reason_and_the_curve(opened):
    book = opened(trials=8)
    task = begin(book)
    book.report(task, 1, metrics(0.4))
    failure = Failure(kind="ValueError", message="no", traceback="Traceback …")
    book.fail(task, failure)
    (record,) = book.records()
    assert (record.state, record.failure) == ("FAIL", failure)
    assert record.curve == {1: 0.4}
    assert record.metrics == metrics(0.4)
    assert book.ask().number == 1  # not tried again


def test_a_lost_trial_is_run_again_as_it_was(opened):
    book = opened(trials=3)
    first = begin(book)
    other = begin(book)
    book.report(first, 1, metrics(0.4))
    book.lose(first, LOST)
    assert states(book) == ["WAITING", "RUNNING"]
    again = begin(book)
    assert again == dataclasses.replace(first, attempt=1)
    complete(book, again)
    complete(book, other)
    assert [record.attempt for record in book.records()] == [1, 0]
    assert book.ask().number == 2


def test_retries_come_to_an_end(opened):
    book = opened(trials=3, retries=2)
    for attempt in range(3):
        task = begin(book)
        assert (task.number, task.attempt) == (0, attempt)
        book.lose(task, LOST)
    (record,) = book.records()
    assert (record.state, record.failure.kind) == ("FAIL", "WorkerLost")
    assert record.failure.message.startswith("lost 3 times")
    assert record.failure.message.endswith("killed by SIGKILL")
    assert record.failure.traceback == "tail"
    assert book.ask().number == 1


def test_reports_that_are_repeated_change_nothing(opened, caplog, recwarn):
    book = opened(trials=9, pruner="median", pruner_options=EARLY)
    for _ in range(4):
        complete(book, begin(book), 0.8)
    task = begin(book)
    assert book.report(task, 1, metrics(0.7))
    assert book.report(task, 2, metrics(0.9))
    book.lose(task, LOST)
    again = begin(book)
    # What its predecessor survived it survives, also where the others would now stop it.
    assert book.report(again, 1, metrics(0.7))
    assert book.report(again, 2, metrics(0.9))
    book.finish(again, Outcome(metrics=metrics(0.9)))
    record = book.records()[4]
    assert (record.state, record.curve) == ("COMPLETE", {1: 0.7, 2: 0.9})
    assert not recwarn.list
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_the_last_report_before_a_loss_is_judged_again(opened):
    """It was stored, but whether the worker had its answer is not known."""
    book = opened(trials=9, pruner="median", pruner_options=EARLY)
    for _ in range(4):
        complete(book, begin(book), 0.8)
    task = begin(book)
    assert book.report(task, 1, metrics(0.1))
    assert not book.report(task, 2, metrics(0.15))
    book.lose(task, LOST)
    again = begin(book)
    assert book.report(again, 1, metrics(0.1))
    assert not book.report(again, 2, metrics(0.15))
    book.finish(again, Outcome(metrics=metrics(0.15), stopped=True))
    assert states(book)[4] == "PRUNED"


def test_interruptions_do_not_count_as_losses(opened):
    book = opened(trials=3, retries=0)
    for _ in range(3):
        task = begin(book)
        assert (task.number, task.attempt) == (0, 0)
        book.lose(task, Failure(kind="Interrupted", message="stopped"))


def test_closing_puts_back_what_runs(opened, tmp_path, storage):
    book = opened(trials=3)
    task = begin(book)
    book.report(task, 1, metrics(0.4))
    book.close()
    study = optuna.load_study(study_name="toy", storage=storage)
    (record,) = read_trials(study)
    assert (record.state, record.curve) == ("WAITING", {1: 0.4})
    assert opened(trials=3).ask() == task


def test_without_a_living_supervisor_nothing_runs(opened, storage):
    book = opened(trials=3)
    begin(book)
    study = optuna.load_study(study_name="toy", storage=storage)
    assert [record.state for record in read_trials(study)] == ["RUNNING"]
    study.set_user_attr("lease", None)
    assert [record.state for record in read_trials(study)] == ["WAITING"]


def test_events_tell_the_same_story(opened):
    events = []
    book = opened(trials=20, listeners=[events.append], pruner="median", retries=1)
    complete(book, begin(book))
    task = begin(book)
    book.lose(task, LOST)
    book.fail(begin(book), LOST)
    book.finish(begin(book), Outcome(metrics=metrics(0.2), stopped=True))
    told = [(event.kind, event.trial) for event in events]
    assert told == [
        ("study", None),
        ("phase", None),
        *[("start", 0), ("report", 0), ("report", 0), ("complete", 0)],
        *[("start", 1), ("lost", 1)],
        *[("start", 1), ("failed", 1)],
        *[("start", 2), ("pruned", 2)],
    ]
    assert events[0].data == {"id": book.study.user_attrs[IDENTITY]}
    assert events[1].data == {
        "name": "search",
        "total": 20,
        "done": 0,
        "counts": {"complete": 0, "pruned": 0, "failed": 0},
        "best": None,
    }
    assert events[5].data["value"] == 0.5
    assert events[5].data["seconds"] > 0
    assert events[7].data == {"kind": "WorkerLost", "message": LOST.message, "attempt": 1}
    assert {event.phase for event in events} == {"search"}


def test_a_listener_that_raises_is_logged_once(opened, caplog):
    def broken(event):
        raise RuntimeError("tracker is down")

    told = []
    with caplog.at_level(logging.ERROR):
        book = opened(trials=3, listeners=[broken, told.append])
        complete(book, begin(book))
    assert states(book) == ["COMPLETE"]
    assert len(caplog.records) == 2  # by what opens the study, and by its book
    assert len(told) == 6


def test_another_space_is_refused_with_the_difference(opened, tmp_path, storage):
    opened(trials=3).close()
    wider = Space({**SPACE.parameters, "x": Float(0.0, 0.9, sets="optim.momentum")})
    with pytest.raises(FingerprintMismatch) as caught:
        open_search(toy_plan(tmp_path, space=wider), storage)
    assert "1.0 -> 0.9" in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert "\n" not in str(caught.value)
    opened(trials=3)  # the refusal has not locked it


def test_a_study_of_another_program_is_refused(tmp_path, storage):
    study = optuna.create_study(study_name="toy", storage=storage)
    study.enqueue_trial({})
    with pytest.raises(FingerprintMismatch, match="another program"):
        open_search(toy_plan(tmp_path), storage)


def entries(count):
    return [
        Entry(params={"kind": "fast", "x": 0.25}, seed=seed, attributes={"rank": index})
        for index, seed in enumerate(confirm_seeds(0, count))
    ]


def test_another_programs_study_of_other_directions_is_refused(tmp_path, storage):
    optuna.create_study(study_name="toy", storage=storage, direction="minimize")
    with pytest.raises(FingerprintMismatch, match="minimize"):
        open_search(toy_plan(tmp_path), storage)


@pytest.mark.parametrize(
    "put",
    [
        lambda study: study.enqueue_trial({"kind": "fast", "x": 0.5}),
        lambda study: study.ask(),
        lambda study: study.optimize(lambda trial: 1.0, n_trials=1),
    ],
)
def test_a_trial_that_another_program_put_there_is_refused(tmp_path, storage, put):
    plan = toy_plan(tmp_path, trials=3)
    with open_search(plan, storage) as book:
        complete(book, begin(book))
        study = book.study
    with open_search(plan, storage) as book:
        complete(book, begin(book))
        if put.__code__.co_names[0] == "enqueue_trial":  # while it is run, too
            with pytest.raises(UserError, match=r"another program.*trial 3.*trial 2"):
                put(study), book.ask()
        else:
            put(study)
    with pytest.raises(UserError, match=r"another program.*trial 2"):
        open_search(plan, storage)


def test_a_confirmation_works_off_its_list(tmp_path, storage):
    plan = toy_plan(tmp_path, pruner="percentile", pruner_options={"n_startup_trials": 0})
    with open_confirm(plan, storage, entries(3)) as book:
        assert (book.phase, book.total, book.study.study_name) == ("confirm", 3, f"toy{CONFIRM}")
        Inline().run(book, toys.Toy(tmp_path))
        records = book.records()
    assert [record.state for record in records] == ["COMPLETE"] * 3
    assert [record.params for record in records] == [{"kind": "fast", "x": 0.25}] * 3
    assert tuple(record.seed for record in records) == confirm_seeds(0, 3)
    assert [record.attributes["rank"] for record in records] == [0, 1, 2]


def test_a_confirmation_trains_nothing_twice(tmp_path, storage):
    plan = toy_plan(tmp_path)
    with open_confirm(plan, storage, entries(2)) as book:
        Inline().run(book, toys.Toy(tmp_path))
    with open_confirm(plan, storage, entries(3)) as book:
        assert (book.done, book.total) == (2, 3)
        Inline().run(book, toys.Toy(tmp_path))
        assert len(book.records()) == 3
    assert len(toys.attempts(tmp_path)) == 3


def test_search_and_confirmation_share_a_database(tmp_path, storage):
    plan = toy_plan(tmp_path, trials=2)
    with open_search(plan, storage) as book:
        Inline().run(book, toys.Toy(tmp_path))
    with open_confirm(plan, storage, entries(1)) as book:
        Inline().run(book, toys.Toy(tmp_path))
    names = {
        study.study_name: len(study.get_trials())
        for study in map(
            lambda summary: optuna.load_study(study_name=summary.study_name, storage=storage),
            storage.get_all_studies(),
        )
    }
    assert names == {"toy": 2, "toy.confirm": 1}


def test_the_metric_has_its_name_in_optuna(tmp_path, storage):
    """Also in a study of an older version, from its next run on; its fingerprint stays."""
    plan = toy_plan(tmp_path, trials=2)
    with open_search(plan, storage) as book:
        Inline().run(book, toys.Toy(tmp_path))
        identity = book.study._study_id
        storage.set_study_system_attr(identity, "study:metric_names", None)
        before = dict(book.study.user_attrs)
    with open_search(toy_plan(tmp_path, trials=3), storage) as book:
        Inline().run(book, toys.Toy(tmp_path))
        assert [record.state for record in book.records()] == ["COMPLETE"] * 3
        assert book.study.metric_names == ["val_accuracy"]
        assert book.study.user_attrs[FINGERPRINT] == before[FINGERPRINT]
    with open_confirm(plan, storage, entries(1)) as book:
        assert book.study.metric_names == ["val_accuracy"]


def test_study_attributes_are_written_by_the_book(opened, storage):
    opened(trials=1).set_attribute("note", {"a": 1})
    study = optuna.load_study(study_name="toy", storage=storage)
    assert study.user_attrs["note"] == {"a": 1}


def test_a_failure_that_was_never_told_is_not_kept_with_what_came_of_it_later(
    tmp_path, storage, monkeypatch
):
    """Its supervisor died between writing why a trial failed, and that it had."""
    plan = toy_plan(tmp_path, trials=1)
    book = open_search(plan, storage)
    task = begin(book)
    with monkeypatch.context() as patch:
        patch.setattr(book._table, "tell", lambda *rest: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            book.fail(task, Failure(kind="TimeLimit", message="ended after 1 s"))
    (left,) = book.study.get_trials()
    assert left.user_attrs["failure"]["kind"] == "TimeLimit"
    assert read_trials(book.study)[0].failure is None
    with open_search(plan, storage) as again:
        complete(again, begin(again))
        (record,), (trial,) = again.records(), again.study.get_trials()
    assert (record.state, record.failure) == ("COMPLETE", None)
    assert trial.user_attrs["failure"] is None


def test_reports_at_once_are_one_write_and_none_is_lost(opened, storage, monkeypatch):
    """A trial that reports at each step of its optimizer does not wait for the disk each time."""
    writes = []
    write = storage.set_trial_intermediate_values

    def slow(identity, values):
        time.sleep(0.02)
        writes.append(dict(values))
        write(identity, values)

    monkeypatch.setattr(storage, "set_trial_intermediate_values", slow)
    book = opened(trials=3)
    task = begin(book)
    left = []
    for step in range(1, 50):
        assert book.report(task, step, metrics(0.5))
        left.append(book.flush(now=False))
    assert writes[0] == {1: 0.5} and len(writes) < 5
    assert left[0] == 0.0 and 0.0 < left[1] <= 1.0
    book.finish(task, Outcome(metrics=metrics(0.5)))  # nothing is written before the reports
    assert {step for one in writes for step in one} == set(range(1, 50))
    (trial,) = storage.get_all_trials(book.study._study_id, deepcopy=False)
    assert len(trial.intermediate_values) == 49
