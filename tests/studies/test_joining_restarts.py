"""Several supervisors on a real PostgreSQL that goes away, also in the midst of a turn."""

import dataclasses
import json
import random

import psycopg
import pytest
import sqlalchemy
from optuna.trial import TrialState
from postgres import server  # noqa: F401
from supervisors import finish, start, trials, until_it_says  # noqa: F401
from toy import make_plan
from toy_trail import quiet  # noqa: F401

from objectives.base import Outcome
from studies.core.attributes import OWNER, SEED
from studies.core.seeds import trial_seed
from studies.core.trials import Failure
from studies.ledger.opening import open_search
from studies.storage import postgres
from studies.storage.open import close_storage, open_storage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet")]
N = 16
SEARCH = {"sampler": "random"}


class Two:
    """Two supervisors in this process; what each was told of the trials that it ran."""

    def __init__(self, folder, url):
        self.url = url
        self.plan = dataclasses.replace(make_plan(folder, trials=N, search=SEARCH), storage_url=url)
        self.storages = [open_storage(url, create=True) for _ in range(2)]
        self.books = [open_search(self.plan, storage, join=True) for storage in self.storages]
        self.ended = []

    def run_one(self, index):
        """Run a trial, if there is one to begin; return whether there was."""
        book = self.books[index]
        book._asked_in_vain = 0.0  # as if a second had passed
        if (task := book.ask()) is None:
            return False
        book.started(task, 0)
        value = 0.5 + task.number / 100
        for step in (1, 2):
            book.report(task, step, {"val_accuracy": value * step / 2, "val_loss": 1.0})
            book.flush()
        book.finish(task, Outcome(metrics={"val_accuracy": value, "val_loss": 1.0}))
        self.ended.append(task)
        return True

    def run_all(self):
        while self.run_one(0):
            pass
        while self.run_one(1):
            pass

    def close(self):
        for book, storage in zip(self.books, self.storages, strict=True):
            book.close()
            close_storage(storage)

    def check(self):
        found = trials(self.url)
        assert [trial.number for trial in found] == list(range(N))
        assert {trial.state for trial in found} == {TrialState.COMPLETE}
        assert sorted(task.number for task in self.ended) == list(range(N))  # none ran twice
        names = {book._member.identity for book in self.books}
        seed = self.plan.settings.search.seed
        for trial in found:
            assert trial.user_attrs[SEED] == trial_seed(seed, trial.number)
            assert trial.user_attrs[OWNER] in names
            assert trial.user_attrs["attempt"] == 0
            assert trial.value == 0.5 + trial.number / 100
            assert trial.intermediate_values == {1: trial.value / 2, 2: trial.value}
        params = {task.number: dict(task.params) for task in self.ended}
        assert [trial.params for trial in found] == [params[n] for n in range(N)]


@pytest.fixture
def two(tmp_path, server):  # noqa: F811
    made = Two(tmp_path, server.new_database())
    yield made
    made.close()


class Cuts:
    """Says when the line is cut: at random, and not so often that nothing can be done between."""

    def __init__(self, seed, most):
        self.done = 0
        self._most, self._chance = most, random.Random(seed)
        self._left = self._chance.randint(1, most)

    def now(self):
        self._left -= 1
        if self._left:
            return False
        self._left = self._chance.randint(1, self._most)
        self.done += 1
        return True


@pytest.mark.parametrize("seed", [0, 1])
def test_a_connection_that_ends_within_a_turn_costs_nothing(two, server, seed):  # noqa: F811
    """The other one has its turn, and a trial of its own, before the first one goes on."""
    first, cuts = two.storages[0], Cuts(seed, most=150)

    def cut(connection, *_):
        if first._turn is not None and cuts.now():
            pid = connection.connection.dbapi_connection.info.backend_pid
            server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            two.run_one(1)

    sqlalchemy.event.listen(first.engine, "before_cursor_execute", cut)
    two.run_all()
    assert cuts.done >= 3
    two.check()


def test_a_commit_within_a_turn_whose_answer_is_lost(two, monkeypatch):
    first, cuts = two.storages[0], Cuts(0, most=30)
    commit = first.engine.dialect.do_commit

    def do_commit(connection):
        in_turn = first._turn is not None
        commit(connection)
        if in_turn and cuts.now():
            connection.dbapi_connection.close()
            two.run_one(1)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(postgres.time, "sleep", lambda seconds: None)
    first.engine.dialect.do_commit = do_commit
    two.run_all()
    assert cuts.done >= 3
    two.check()


def test_a_worker_dies_while_the_connection_ends(two, server, monkeypatch):  # noqa: F811
    """Wherever in the turn that puts its trial back: the loss is counted, and counted once."""
    book, storage = two.books[0], two.storages[0]
    commit = storage.engine.dialect.do_commit
    moment = {"before": 0, "after": 0}

    def count(when):
        moment[when] -= storage._turn is not None
        return storage._turn is not None and moment[when] == 0

    def cut(connection, *_):
        if count("before"):
            pid = connection.connection.dbapi_connection.info.backend_pid
            server.sql(f"SELECT pg_terminate_backend({pid}, 5000)")

    def do_commit(connection):
        commit(connection)
        if count("after"):
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(postgres.time, "sleep", lambda seconds: None)
    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", cut)
    storage.engine.dialect.do_commit = do_commit
    for when in moment:
        at = 0
        while moment[when] <= 0:  # until there was no such moment any more
            at += 1
            book._asked_in_vain = 0.0
            task = book.ask()
            assert task.attempt == 0
            moment[when] = at
            book.lose(task, Failure(kind="WorkerLost", message="it died"))
            stored = trials(two.url)[task.number]
            assert (stored.state, stored.user_attrs["attempt"]) == (TrialState.WAITING, 1)
            left, moment[when] = moment[when], 0
            book._asked_in_vain = 0.0
            again = book.ask()
            assert again == dataclasses.replace(task, attempt=1)
            book.finish(again, Outcome(metrics={"val_accuracy": 0.5, "val_loss": 1.0}))
            moment[when] = left
        moment[when] = 0
        assert at > (4 if when == "before" else 1)
    assert {trial.state for trial in trials(two.url)} == {TrialState.COMPLETE}


def test_the_server_restarts_under_both(start, tmp_path, server):  # noqa: F811
    url = server.new_database()
    options = {"url": url, "join": True, "trials": N, "search": SEARCH, "meet": 2}
    both = [start(tmp_path / name, **options) for name in ("a", "b")]
    for process in both:
        until_it_says(process, "begun")
    for mode in ("fast", "immediate"):
        server.restart(mode)
    ends = [json.loads(finish(process)[-1]) for process in both]
    found = trials(url)
    assert [trial.number for trial in found] == list(range(N))
    assert not [t for t in found if not t.state.is_finished() or t.state is TrialState.FAIL]
    searched = [number for end in ends for phase, number in end["ran"] if phase == "search"]
    assert set(searched) == set(range(N))
    assert {t.state for t in trials(url, "toy.confirm")} == {TrialState.COMPLETE}
