"""A new trial begins in one write, with the params that Optuna would have proposed for it."""

import sqlite3
from dataclasses import replace

import optuna
import pytest
from toy import make_plan
from toy_trail import quiet  # noqa: F401

from objectives.base import Outcome
from studies.ledger.opening import open_search
from studies.search.sources import SearchSource
from studies.storage.open import close_storage, open_storage

pytestmark = pytest.mark.usefixtures("quiet")
N = 16


def value(number):
    return 0.5 + (7 * number % N) / 100


@pytest.fixture
def opened(tmp_path):
    """Open the search of a toy study in an SQLite file; return plan and book."""
    storages = []

    def open_it(sampler):
        plan = make_plan(tmp_path, trials=N, search={"sampler": sampler, "pruner": "none"})
        plan = replace(plan, storage_url=f"sqlite:///{tmp_path / 'study.db'}")
        storages.append(open_storage(plan.storage_url, create=True))
        return plan, open_search(plan, storages[-1])

    yield open_it
    for storage in storages:
        close_storage(storage)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2", "qmc", "random"])
def test_as_optuna_proposes_for_a_trial_that_it_has_stored(opened, sampler):
    plan, book = opened(sampler)
    source, reference = SearchSource(plan), optuna.create_study(direction=plan.spec.direction)
    with book:
        for number in range(N):
            request = source.request(number)
            reference.enqueue_trial(dict(request.params))
            reference.sampler = source.sampler(number)
            trial = reference.ask()
            expected = source.suggest(trial)
            task = book.ask()
            assert (task.number, task.params, task.seed) == (number, expected, request.seed)
            reference.tell(trial, value(number))
            book.finish(task, Outcome(metrics={"val_accuracy": value(number), "val_loss": 1.0}))
        stored = book.study.get_trials()
    for trial, other in zip(stored, reference.trials, strict=True):
        assert (trial.params, trial.distributions) == (other.params, other.distributions)
        kept = {k: v for k, v in other.system_attrs.items() if k != "fixed_params"}
        assert trial.system_attrs == kept  # what it was begun with is not held
        assert (trial.state, trial.values) == (other.state, other.values)
        assert trial.datetime_start <= trial.datetime_complete


def test_whoever_looks_sees_no_part_of_a_trial(opened, monkeypatch):
    plan, book = opened("tpe")
    engine = book._storage.engine
    commit, seen = engine.dialect.do_commit, []

    def look(connection):
        commit(connection)
        with sqlite3.connect(plan.folder.parent / "study.db") as reader:
            states = reader.execute("SELECT number, state FROM trials").fetchall()
            names = reader.execute("SELECT trial_id, param_name FROM trial_params").fetchall()
            seeds = reader.execute("SELECT 1 FROM trial_user_attributes WHERE key = 'seed'")
            seen.append((states, len(names), len(seeds.fetchall())))
        reader.close()

    with book:
        monkeypatch.setattr(engine.dialect, "do_commit", look)
        params = [book.ask().params for _ in range(3)]
        monkeypatch.undo()
    running = [(number, "RUNNING") for number in range(3)]
    whole = [(running[:n], sum(map(len, params[:n])), n) for n in range(4)]
    assert all(one in whole for one in seen)
    assert whole[3] in seen
