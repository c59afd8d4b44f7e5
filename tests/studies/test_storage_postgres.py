"""PostgreSQL for real: restarts, lost connections, locks, and what is no database of ours."""

import logging
import threading
import time

import optuna
import psycopg
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from postgres import server  # noqa: F401
from toy import Toy
from toy_trail import plan_at, quiet, reference, run, trail  # noqa: F401
from waiting import PATIENCE, until

from studies.core.attributes import LEASE
from studies.protocol import phases
from studies.storage import postgres
from studies.storage.leases import StudyInUse, read_lease, release, supervisor, take
from studies.storage.open import StorageError, close_storage, open_storage

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def ready_made_databases():
    """In place of that which all tests share: here the schema is looked at."""


@pytest.fixture
def url(server):  # noqa: F811
    return server.new_database()


@pytest.fixture
def plan(tmp_path, url):
    return plan_at(tmp_path, url)


class RestartsAt(Toy):
    def __init__(self, running, at):
        super().__init__()
        self.running, self.at = running, dict(at)

    def __call__(self, task, report):
        mode = self.at.pop(len(self.ran), None)
        if mode is not None:
            self.running.restart(mode)
        return super().__call__(task, report)


def test_a_restart_loses_nothing(plan, server, reference):  # noqa: F811
    toy = RestartsAt(server, {2: "fast", 4: "immediate", 11: "immediate"})
    run(plan, toy)
    assert toy.at == {}
    assert trail(plan.storage_url) == reference


def test_a_server_that_is_away_is_waited_for(
    plan,
    server,  # noqa: F811
    reference,  # noqa: F811
    caplog,
    monkeypatch,
):
    class Away(Toy):
        def __call__(self, task, report):
            if len(self.ran) == 3:
                server.stop("immediate")
                timer.start()
            return super().__call__(task, report)

    timer = threading.Timer(1.0, server.start)
    monkeypatch.setattr(postgres, "PATIENCE", PATIENCE)
    with caplog.at_level(logging.WARNING):
        run(plan, Away())
    timer.join()
    assert caplog.text.count("; waiting for it") >= 1
    assert trail(plan.storage_url) == reference


def test_a_server_that_stays_away_is_one_line_and_the_study_goes_on_later(
    plan,
    server,  # noqa: F811
    reference,  # noqa: F811
    caplog,
    monkeypatch,
):
    class Away(Toy):
        def __call__(self, task, report):
            if len(self.ran) == 3:
                server.stop()
            return super().__call__(task, report)

    monkeypatch.setattr(postgres, "PATIENCE", 1.0)
    try:
        with (
            caplog.at_level(logging.WARNING),
            # It says what the server, or the way to it, says: a database may be gone alone.
            pytest.raises(StorageError, match=r"been gone for 1 s \(.+\); what") as caught,
        ):
            run(plan, Away())
    finally:
        server.start()
    assert "\n" not in str(caught.value)
    # The last writes, of the study's closing, do not wait anew.
    assert caplog.text.count("; waiting for it") == 1
    run(plan, Toy())
    assert trail(plan.storage_url) == reference


@pytest.mark.parametrize("every", [3, 7])
def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    plan,
    reference,  # noqa: F811
    monkeypatch,
    every,
):
    real_open = phases.open_storage
    commits = [0]

    def open_storage_with_a_bad_line(url, *, create):
        storage = real_open(url, create=create)
        commit = storage.engine.dialect.do_commit

        def do_commit(connection):
            commit(connection)
            commits[0] += 1
            if commits[0] % every == 0:
                connection.dbapi_connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        storage.engine.dialect.do_commit = do_commit
        return storage

    monkeypatch.setattr(phases, "open_storage", open_storage_with_a_bad_line)
    monkeypatch.setattr(postgres.time, "sleep", lambda seconds: None)
    run(plan, Toy())
    assert commits[0] > 100
    assert trail(plan.storage_url) == reference


def test_a_taken_over_supervisor_ends(url, server):  # noqa: F811
    first, second = open_storage(url, create=True), open_storage(url, create=True)
    one = optuna.create_study(study_name="s", storage=first)
    take(one)
    two = optuna.load_study(study_name="s", storage=second)
    # As if the first ran on another machine, with which it would end up here.
    two.set_user_attr(LEASE, {**two.user_attrs[LEASE], "host": "elsewhere"})
    with pytest.raises(StudyInUse, match=r"elsewhere.*--take-over"):
        take(two)
    lease = take(two, force=True)
    with pytest.raises(StudyInUse, match="was taken over"):
        one.set_user_attr("x", 1)
    assert "x" not in two.user_attrs
    release(two, lease)
    assert supervisor(two) is None
    close_storage(first)
    close_storage(second)


def test_a_lease_of_another_machine_whose_connection_ended_is_dead(url):
    first, second = open_storage(url, create=True), open_storage(url, create=True)
    one = optuna.create_study(study_name="s", storage=first)
    take(one)
    one.set_user_attr(LEASE, {**one.user_attrs[LEASE], "host": "elsewhere"})
    two = optuna.load_study(study_name="s", storage=second)
    assert supervisor(two).host == "elsewhere"
    close_storage(first)
    until(lambda: supervisor(two) is None)
    assert not read_lease(two).live
    assert take(two).host != "elsewhere"
    close_storage(second)


def test_the_lock_is_the_studys_own(url):
    first, second = open_storage(url, create=True), open_storage(url, create=True)
    take(optuna.create_study(study_name="a", storage=first))
    take(optuna.create_study(study_name="b", storage=second))
    close_storage(first)
    close_storage(second)


def refusal(url, *, create=True):
    with pytest.raises(StorageError) as caught:
        open_storage(url, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_opened_is_one_line(url, server):  # noqa: F811
    base = url.rpartition("/")[0]
    assert "does not exist" in refusal(f"{base}/nothing")
    assert "run a study first" in refusal(url, create=False)
    assert 'role "nobody" does not exist' in refusal(url.replace("postgres@", "nobody@"))
    unused = refusal("postgresql+psycopg://me:s3cret@127.0.0.1:1/x")
    assert "refused" in unused
    assert "s3cret" not in unused


def test_another_programs_tables_are_left_alone(url, server):  # noqa: F811
    database = url.rpartition("/")[2]
    server.sql("CREATE TABLE studies (title text)", database)
    assert "another program's tables (studies)" in refusal(url)
    found = server.sql("SELECT column_name FROM information_schema.columns "
                       "WHERE table_name = 'studies'", database)  # fmt: skip
    assert found == [("title",)]


def test_a_trial_that_is_over_is_not_waited_for(url):
    """Optuna reads it on a second connection, and the pool has one."""
    storage = open_storage(url, create=True)
    study = optuna.create_study(study_name="s", storage=storage)
    trial = study.ask()
    study.tell(trial, 1.0)
    began = time.monotonic()
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial._trial_id, "a", 1)
    assert time.monotonic() - began < 20  # SQLAlchemy's pool: 30
    close_storage(storage)


@pytest.mark.parametrize("create", [True, False])
def test_another_programs_version_table_is_left_alone(url, server, create):  # noqa: F811
    """As MLflow has it: Optuna would take that version for one of its own."""
    database = url.rpartition("/")[2]
    server.sql("CREATE TABLE alembic_version (version_num varchar(32))", database)
    server.sql("INSERT INTO alembic_version VALUES ('f5a4f2784254')", database)
    assert "another program" in refusal(url, create=create)
    found = server.sql("SELECT table_name FROM information_schema.tables "
                       "WHERE table_schema = 'public'", database)  # fmt: skip
    assert found == [("alembic_version",)]
    assert server.sql("SELECT * FROM alembic_version", database) == [("f5a4f2784254",)]


def test_three_make_the_tables_at_once(url):
    failures = []

    def make():
        try:
            close_storage(open_storage(url, create=True))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_braces_in_a_password(url):
    address = url.replace("postgres@", "postgres:{a}%7B0%7D@")
    storage = open_storage(address, create=True)
    assert storage.url == address
    close_storage(storage)
