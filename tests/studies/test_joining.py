"""Several supervisors on one study: real processes on a journal and on a real PostgreSQL."""

import dataclasses
import json
import os
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState
from postgres import server  # noqa: F401
from supervisors import finish, start, trials, until_it_says  # noqa: F401
from toy import make_plan

from mnist_core.errors import ConfigError, UserError
from objectives.base import Outcome
from studies.core.attributes import STOPPED
from studies.ledger.opening import open_search
from studies.search.stopping import Stop, Stopping
from studies.storage import members
from studies.storage.leases import StudyInUse
from studies.storage.open import close_storage, exclusive, open_storage, sqlite_url

pytestmark = pytest.mark.slow
N = 12
SEARCH = {"sampler": "tpe", "pruner": "median", "pruner_options": {"n_startup_trials": 2}}


@pytest.fixture(params=["journal", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("server").new_database()
    (tmp_path / "shared").mkdir()
    return f"journal:///{tmp_path / 'shared' / 'journal'}"


def both(start, tmp_path, url, **options):  # noqa: F811
    """Two supervisors, each with a folder of its own, as on two machines."""
    options = {"url": url, "join": True, "trials": N, "search": SEARCH, **options}
    return [start(tmp_path / name, **options) for name in ("a", "b")]


def is_whole(url, ran):
    """N trials, each over and run to its end by one supervisor; the confirmation once."""
    found = trials(url)
    assert [trial.number for trial in found] == list(range(N))
    assert all(trial.state.is_finished() for trial in found)
    assert not [trial for trial in found if trial.state.name == "FAIL"]
    seeds = {trial.user_attrs["seed"] for trial in found}
    assert len(seeds) == N
    searched = [number for part in ran for phase, number in part if phase == "search"]
    assert set(searched) == set(range(N))
    confirmed = trials(url, "toy.confirm")
    assert confirmed and all(trial.state.name == "COMPLETE" for trial in confirmed)
    keys = [(str(t.params), t.user_attrs["seed"]) for t in confirmed]
    assert len(set(keys)) == len(keys)
    return searched


def test_two_search_together_and_one_confirms(start, tmp_path, url, opened):  # noqa: F811
    ends = [json.loads(finish(process)[-1]) for process in both(start, tmp_path, url, meet=2)]
    searched = is_whole(url, [end["ran"] for end in ends])
    assert len(searched) == N  # nothing was run twice
    assert all(any(phase == "search" for phase, _ in end["ran"]) for end in ends)
    # One confirmed and tested; the other, should it come late, only found the result there.
    confirming = [end for end in ends if any(phase == "confirm" for phase, _ in end["ran"])]
    assert len(confirming) == 1 and confirming[0]["test"]
    assert not members.living_members(opened(url))


def test_one_is_killed_and_the_other_runs_its_trials(start, tmp_path, url):  # noqa: F811
    options = {"url": url, "join": True, "trials": N, "search": SEARCH}
    killed = start(tmp_path / "a", hold=0, **options)
    until_it_says(killed, "held")
    other = start(tmp_path / "b", **options)
    until_it_says(other, "begun")
    orphans = {trial.number for trial in trials(url) if trial.state.name in ("RUNNING", "WAITING")}
    killed.kill()
    killed.communicate()
    end = json.loads(finish(other)[-1])
    owners = {trial.user_attrs["supervisor"] for trial in trials(url)}
    assert len(owners) <= 2 and orphans
    done = [[("search", number) for number in range(N)], end["ran"]]
    is_whole(url, done)
    assert any(phase == "confirm" for phase, _ in end["ran"])


@pytest.mark.long
def test_both_are_killed_and_a_later_run_ends_the_study(start, tmp_path, url):  # noqa: F811
    processes = both(start, tmp_path, url, hold=0)
    for process in processes:
        until_it_says(process, "held")
    for process in processes:
        process.kill()
        process.communicate()
    before = {t.number: (t.params, t.user_attrs["seed"]) for t in trials(url) if t.params}
    # Alone, and on the same machine: it sees at once that both are gone.
    finish(start(tmp_path / "a", url=url, trials=N, search=SEARCH))
    is_whole(url, [[("search", number) for number in range(N)]])
    after = {t.number: (t.params, t.user_attrs["seed"]) for t in trials(url)}
    assert before and before.items() <= after.items()


@pytest.mark.long
def test_on_another_machine_a_heartbeat_says_who_lives(start, tmp_path, url):  # noqa: F811
    options = {"url": url, "join": True, "trials": N, "search": SEARCH, "pace": 0.3}
    far = start(tmp_path / "far", host="far", hold=0, **options)
    until_it_says(far, "held")
    far.send_signal(signal.SIGSTOP)  # neither alive nor gone: its lock, if any, is still there
    near = start(tmp_path / "near", host="near", **options)
    until_it_says(near, "begun")
    assert any(trial.state.name == "RUNNING" for trial in trials(url))
    far.kill()
    far.communicate()
    end = json.loads(finish(near)[-1])
    is_whole(url, [[("search", number) for number in range(N)], end["ran"]])


@pytest.mark.long
def test_one_that_slept_for_too_long_drops_its_results(start, tmp_path):  # noqa: F811
    (tmp_path / "shared").mkdir()
    url = f"journal:///{tmp_path / 'shared' / 'journal'}"
    options = {"url": url, "join": True, "trials": N, "search": SEARCH, "pace": 0.3, "meet": 2}
    far = start(tmp_path / "far", host="far", **options)
    until_it_says(far, "begun")
    far.send_signal(signal.SIGSTOP)
    time.sleep(4)  # longer than a heartbeat counts there
    near = start(tmp_path / "near", host="near", **options)
    until_it_says(near, "begun")
    far.send_signal(signal.SIGCONT)
    said = finish(far)
    ends = [json.loads(finish(near)[-1]), json.loads(said[-1])]
    assert any("was taken over by another supervisor" in line for line in said)
    is_whole(url, [end["ran"] for end in ends])


@pytest.fixture
def opened():
    """Open the toy study at a URL; its storage is closed at the end of the test."""
    storages = []

    def open_it(url):
        storages.append(open_storage(url, create=False))
        return optuna.load_study(study_name="toy", storage=storages[-1])

    yield open_it
    for storage in storages:
        close_storage(storage)


def at(tmp_path, url="", **search):
    plan = make_plan(tmp_path, trials=8, search={"sampler": "random", "pruner": "none", **search})
    return dataclasses.replace(plan, storage_url=url or plan.storage_url)


def test_alone_or_together_but_not_both(tmp_path, url):
    plan = at(tmp_path, url)
    first, second = (open_storage(url, create=True) for _ in range(2))
    with open_search(plan, first), pytest.raises(StudyInUse, match="toy"):
        open_search(plan, second, join=True)
    with open_search(plan, first, join=True):
        with pytest.raises(StudyInUse, match="--join"):
            open_search(plan, second)
        with open_search(plan, second, join=True) as book:
            assert book.ask() is not None
        with pytest.raises(ConfigError, match="8"):
            open_search(dataclasses.replace(plan, trials=9), second, join=True)
    with open_search(plan, second) as book:  # all have left
        assert book.done == 0
    close_storage(first)
    close_storage(second)


def test_what_cannot_be_joined(tmp_path, opened):
    plan = at(tmp_path, sqlite_url(tmp_path / "study.db"))
    storage = open_storage(plan.storage_url, create=True)
    with pytest.raises(UserError, match="SQLite"):
        open_search(plan, storage, join=True)
    close_storage(storage)
    plan = at(tmp_path, f"journal:///{tmp_path / 'journal'}", order="batch")
    storage = open_storage(plan.storage_url, create=True)
    with pytest.raises(ConfigError, match=r"--join.*--order batch"):
        open_search(plan, storage, join=True)
    assert not members.living_members(opened(plan.storage_url))


def test_the_total_holds_when_asks_alternate(tmp_path):
    """Each sees what the other began; neither begins one too many."""
    plan = at(tmp_path, f"journal:///{tmp_path / 'journal'}")
    storages = [open_storage(plan.storage_url, create=True) for _ in range(2)]
    with (
        open_search(plan, storages[0], join=True) as one,
        open_search(plan, storages[1], join=True) as other,
    ):
        tasks = [(book, book.ask()) for book in (one, other, other, one, one, other, one, other)]
        assert sorted(task.number for _, task in tasks) == list(range(8))
        assert one.ask() is None and other.ask() is None
        for book, task in tasks:
            book.finish(task, Outcome(metrics={"val_accuracy": 0.5}))
        assert not one.wait_for_others(lambda: False) and not other.wait_for_others(lambda: False)
        assert one.done == other.done == one.total == other.total == 8


DONE = Outcome(metrics={"val_accuracy": 0.5})


def on_a_journal(tmp_path):
    """A journal's URL and two storages on it."""
    url = f"journal:///{tmp_path / 'journal'}"
    return url, [open_storage(url, create=True) for _ in range(2)]


@pytest.mark.skipif(os.name != "posix", reason="the kernel's lock")
@pytest.mark.parametrize("writable", [True, False])
def test_a_turn_locks_a_file_that_a_shared_disk_locks_too(tmp_path, writable):
    import fcntl

    url, _ = on_a_journal(tmp_path)
    locked = tmp_path / "journal.turn"
    if not writable:  # a file that cannot be opened, as in a folder that cannot be written
        locked.unlink(missing_ok=True)
        locked.mkdir()
        locked = tmp_path
    with exclusive(url):
        descriptor = os.open(locked, os.O_RDWR if writable else os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_only_the_first_member_forgets_why_an_earlier_search_was_stopped(tmp_path, opened):
    url, storages = on_a_journal(tmp_path)
    plan = at(tmp_path, url)
    stop = Stop(rule="seconds", why="60 seconds have passed", trials=1, planned=8).to_attribute()
    with open_search(plan, storages[0], join=True) as one:
        one.set_attribute(STOPPED, stop)
        with open_search(plan, storages[1], join=True):
            assert opened(url).user_attrs[STOPPED] == stop
    with open_search(plan, storages[1], join=True):
        assert opened(url).user_attrs[STOPPED] is None


def test_what_one_stops_is_stopped_for_all(tmp_path, monkeypatch, opened):
    now = [0.0]
    monkeypatch.setitem(Stopping.__init__.__kwdefaults__, "clock", lambda: now[0])
    url, storages = on_a_journal(tmp_path)
    plan, stopping = at(tmp_path, url), at(tmp_path, url, stop={"seconds": 60.0})
    one = open_search(stopping, storages[0], join=True)
    with open_search(plan, storages[1], join=True) as other:
        ran = [(book, book.ask()) for book in (one, other)]
        now[0] = 60.0
        one.finish(ran[0][1], DONE)
        assert one.ask() is None and one.stopped
        other.finish(ran[1][1], DONE)
        assert not one.wait_for_others(lambda: False)  # and goes on to confirm
        one.close()
        assert other.ask() is None and other.stopped == one.stopped
        assert other.total == one.total == 2
        assert opened(url).user_attrs[STOPPED] == one.stopped.to_attribute()
    # A later run goes on, also where all have joined before the first of them asks.
    with (
        open_search(plan, storages[0], join=True) as one,
        open_search(plan, storages[1], join=True) as other,
    ):
        assert one.ask().number == 2 and other.ask().number == 3


def test_a_grid_that_ends_before_the_budget_is_joined(tmp_path):
    url, storages = on_a_journal(tmp_path)
    plan = at(tmp_path, url, sampler="grid", sampler_options={"points": 2})
    plan = dataclasses.replace(plan, trials=50)
    with open_search(plan, storages[0], join=True) as one:
        assert one.total < 50
        for _ in range(4):
            one.finish(one.ask(), DONE)
        with open_search(plan, storages[1], join=True) as other:
            assert other.total == one.total
            other.finish(other.ask(), DONE)
        fewer = dataclasses.replace(plan, trials=one.total - 1)
        with pytest.raises(ConfigError, match=str(one.total)):
            open_search(fewer, storages[1], join=True)


def test_a_result_is_not_taken_for_that_of_another_attempt(tmp_path, opened):
    url, storages = on_a_journal(tmp_path)
    with open_search(at(tmp_path, url), storages[0], join=True) as book:
        late = book.ask()
        study = opened(url)
        trial_id = study.trials[late.number]._trial_id
        # Another supervisor took this one for dead.
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        assert book.ask() is None  # not while the first attempt runs here
        book.finish(late, DONE)
        assert opened(url).trials[late.number].state is TrialState.WAITING
        assert book.wait_for_others(lambda: False)
        again = book.ask()
        assert again.number == late.number
        book.finish(again, DONE)
        assert opened(url).trials[late.number].state is TrialState.COMPLETE


def test_who_begins_alone_is_seen_before_its_lease(tmp_path, server, opened):  # noqa: F811
    url = server.new_database()
    first, second = (open_storage(url, create=True) for _ in range(2))
    plan = at(tmp_path, url)
    assert first.lock(plan.name)
    with pytest.raises(StudyInUse, match="'toy'"):
        open_search(plan, second, join=True)
    assert not members.living_members(opened(url))
    first.unlock(plan.name)
    with open_search(plan, second, join=True) as book:
        assert book.ask() is not None
    close_storage(first)
    close_storage(second)
