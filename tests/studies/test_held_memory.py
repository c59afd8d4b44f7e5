"""A supervisor holds once what it looks at of a trial; what the objective left is on the disk."""

import gc
import sys
import types
from dataclasses import replace

import optuna
import pytest
import sqlalchemy
from toy import make_plan
from toy_trail import quiet  # noqa: F401

from objectives.base import Outcome
from studies.core.trials import Failure
from studies.ledger.opening import open_search
from studies.search.sources import SearchSource
from studies.storage.contents import read_content
from studies.storage.open import close_storage, open_storage, whole_trials
from studies.storage.sql_reading import PAGE
from studies.storage.sql_writing import insert_trials

LEFT = {"confusion": [[10.5 * row + k for k in range(10)] for row in range(10)], "device": "cpu"}
LEFT_BYTES = 3_000
"""At least what ``LEFT`` takes as Python objects; a real trial leaves some 9,000 bytes."""

_OF_NO_STUDY = (type, types.ModuleType, types.FunctionType, sqlalchemy.Engine)
"""Code, and the connections with the statements that were translated for them."""

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(params=["sqlite", "journal"])
def url(request, tmp_path):
    return f"{request.param}:///{tmp_path / 'study.file'}"


@pytest.fixture
def opened(tmp_path, url):
    """Open the search of the toy study at ``url``; what is opened is closed."""
    books, storages = [], []

    def open_it(trials=100_000):
        plan = make_plan(tmp_path, trials=trials, search={"sampler": "random"})
        plan = replace(plan, storage_url=url)
        storages.append(open_storage(url, create=True))
        books.append(open_search(plan, storages[-1]))
        return books[-1]

    yield open_it
    for book, storage in zip(books, storages, strict=True):
        book.close()
        close_storage(storage)


def run(book, trials):
    for _ in range(trials):
        task = book.ask()
        book.started(task, 0)
        for step in (1, 2, 3, 4, 5):
            book.report(task, step, {"val_accuracy": step / 10, "val_loss": 1.0})
            book.flush()
        metrics = {"val_accuracy": 0.5, "val_loss": 1.0, "val_macro_f1": 0.5}
        book.finish(task, Outcome(metrics=metrics, attributes=LEFT))


def held_bytes(*roots):
    """Return the bytes of all objects that are reached from ``roots``, less those of no study."""
    gc.collect()
    seen, left, total = set(), list(roots), 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, _OF_NO_STUDY):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        left += gc.get_referents(one)
    return total


def test_left_bytes():
    assert held_bytes(LEFT["confusion"]) > LEFT_BYTES


def test_a_trial_that_was_run_costs_its_curve_and_params_once(opened, url):
    book = opened()
    run(book, 10)
    before = held_bytes(book)
    run(book, 40)
    assert (held_bytes(book) - before) / 40 < 1_800  # with all that is left and twice: 12,000
    for trial in book._trials.values():
        assert trial.system_attrs == {}
    assert len({id(trial.distributions) for trial in book._trials.values()}) == 3  # choices
    if url.startswith("sqlite"):
        return  # Optuna holds none of them
    for trial in book.study.get_trials(deepcopy=False):
        assert book._trials[trial.number] is trial


def test_trials_that_optuna_reads_are_held_once(opened):
    book = opened()
    run(book, 10)
    task = book.ask()
    book.lose(task, Failure(kind="WorkerLost", message="killed"))
    assert book.ask().number == task.number  # Optuna has read the study for it
    for trial in book.study.get_trials(deepcopy=False)[:-1]:
        assert book._trials[trial.number] is trial


def test_a_study_that_is_resumed_costs_no_more(opened):
    first = opened()
    run(first, 10)
    first.close()
    before = held_bytes(opened())
    run(book := opened(), 40)
    book.close()
    assert (held_bytes(opened()) - before) / 40 < 2_900


def test_what_is_not_held_is_in_the_records(opened):
    book = opened()
    run(book, 4)
    again = opened()
    for study in (book.study, again.study):
        for trial in study.get_trials(deepcopy=False):
            assert "confusion" not in trial.user_attrs
            assert trial.user_attrs["seed"]
        for trial in whole_trials(study):
            assert trial.user_attrs["confusion"] == LEFT["confusion"]
    assert [r.attributes for r in book.records()] == [LEFT] * 4
    content = read_content(again._storage, "toy")
    assert [trial.user_attrs["confusion"] for trial in content.trials] == [LEFT["confusion"]] * 4
    assert [r.metrics["val_macro_f1"] for r in again.records()] == [0.5] * 4


def test_brief_records_lack_what_the_objective_left_and_nothing_else(opened):
    book = opened()
    run(book, 4)
    whole, brief = book.records(), book.records(brief=True)
    assert [record.attributes for record in whole] == [LEFT] * 4
    assert brief == [replace(record, attributes={}) for record in whole]
    assert held_bytes(brief) < held_bytes(whole) - 3 * LEFT_BYTES


def test_metrics_are_held_where_there_are_several_objectives(tmp_path, url):
    settings = {"sampler": "random", "pruner": "none", "objectives": {"seconds": "minimize"}}
    plan = replace(make_plan(tmp_path, search=settings), storage_url=url)
    storage = open_storage(url, create=True)
    with open_search(plan, storage) as book:
        task = book.ask()
        book.finish(task, Outcome(metrics={"val_accuracy": 0.5, "seconds": 3.0}))
        book.ask()
        assert book.study.get_trials()[0].user_attrs["metrics"]["seconds"] == 3.0
    close_storage(storage)


def test_a_database_is_read_in_pages_and_each_trial_once(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}", create=True)
    study = optuna.create_study(storage=storage, study_name="one")
    other = optuna.create_study(storage=storage, study_name="other")
    x = optuna.distributions.FloatDistribution(0.0, 1.0)
    trials = []
    for number in range(2 * PAGE):
        trial = optuna.trial.create_trial(
            value=float(number), params={"x": number / 1e6}, distributions={"x": x}
        )
        trial.number = number
        trials.append(trial)
    with storage.engine.begin() as connection:  # the identities of both interlock
        insert_trials(connection, other._study_id, trials[:PAGE])
        insert_trials(connection, study._study_id, trials)
    read = study.get_trials(deepcopy=False)
    assert [trial.number for trial in read] == list(range(2 * PAGE))
    assert [trial.value for trial in read] == [float(n) for n in range(2 * PAGE)]
    assert len({id(trial.distributions) for trial in read}) == 1
    assert len(other.get_trials(deepcopy=False)) == PAGE
    close_storage(storage)


def test_a_source_holds_one_entry(tmp_path):
    source = SearchSource(make_plan(tmp_path, trials=100_000, search={"sampler": "random"}))
    straight = [source.request(number) for number in range(300)]
    before = held_bytes(source)
    assert source.request(3_000) == source.request(3_000)
    assert held_bytes(source) - before < 2_000
    assert [source.request(number) for number in (299, 5, 5, 6, 0)] == [
        straight[number] for number in (299, 5, 5, 6, 0)
    ]
