"""Leases: who is alive is told from who was."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict

import optuna
import pytest
from needs import missing

from studies.core.attributes import LEASE, PART
from studies.storage import members, process_identity
from studies.storage.leases import Lease, StudyInUse, read_lease, release, supervisor, take

MINE = Lease.of_this_process()


@pytest.fixture
def study():
    return optuna.create_study(study_name="s")


def held_by(study, **changes):
    study.set_user_attr(LEASE, asdict(dataclasses.replace(MINE, **changes)))


def test_taken_and_released(study):
    lease = take(study)
    assert supervisor(study) == lease
    release(study, lease)
    assert supervisor(study) is None
    assert read_lease(study) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},  # no such process
        {"start": "1"},  # the process id was given to another process
        {"boot": "before the restart"},
    ],
)
def test_a_dead_holder_holds_nothing(study, changes):
    held_by(study, **changes)
    assert supervisor(study) is None
    assert take(study).pid == os.getpid()


def test_a_killed_process_that_nobody_buried_is_dead(study):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = process_identity.process_start(process.pid)
        held_by(study, pid=process.pid, start=start)
        assert supervisor(study).pid == process.pid
        with pytest.raises(StudyInUse, match=f"kill {process.pid}"):
            take(study)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # now a zombie
        assert supervisor(study) is None
    finally:
        process.stdin.close()
        process.kill()
        process.wait()


def test_another_machine_is_believed_unless_taken_over(study):
    held_by(study, host="elsewhere", boot="x", start="1")
    with pytest.raises(StudyInUse, match=r"elsewhere.*--take-over"):
        take(study)
    assert take(study, force=True).host == MINE.host


def test_another_container_of_this_machine_is_another_machine(study):
    held_by(study, namespace="pid:[1]", pid=2**22 + 1)  # whoever that is there
    with pytest.raises(StudyInUse, match=r"container.*--take-over"):
        take(study)
    assert take(study, force=True).namespace == MINE.namespace
    held_by(study, namespace="pid:[1]", boot="before the restart")
    assert supervisor(study) is None
    held_by(study, namespace="", pid=2**22 + 1)  # of an earlier version, which did not say
    assert supervisor(study) is None


HOLDER = """
import json, sys
from studies.storage import process_identity
from studies.storage.leases import Lease
print(json.dumps(process_identity.to_attribute(Lease.of_this_process())), flush=True)
sys.stdin.read()
"""


def test_a_process_in_a_container_is_not_taken_for_dead(study):
    """Its process id is another one here, and its host's name may be that of this one."""
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"]).returncode:
        missing("no process namespace can be made here")
    with subprocess.Popen(
        [*inside, sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        lease = json.loads(process.stdout.readline())
        assert lease["host"] == MINE.host and lease["boot"] == MINE.boot
        study.set_user_attr(LEASE, lease)
        with pytest.raises(StudyInUse, match="container"):
            take(study)


def test_release_leaves_a_successors_lease_alone(study):
    lease = take(study)
    held_by(study, host="elsewhere")
    release(study, lease)
    assert read_lease(study).host == "elsewhere"


@pytest.mark.parametrize("value", [None, "x", {}, {"pid": 3}])
def test_an_unreadable_lease_is_none(study, value):
    study.set_user_attr(LEASE, value)
    assert supervisor(study) is None


def test_without_proc_psutil_tells_the_same(monkeypatch):
    class NoProc(type(process_identity.Path("x"))):
        def exists(self):
            return False

    monkeypatch.setattr(process_identity, "Path", NoProc)
    assert float(process_identity.process_start(os.getpid())) > 1e9
    assert process_identity.process_start(2**22 + 1) is None


def test_the_time_of_day_plays_no_part(study):
    held_by(study, taken="2199-01-01T00:00:00")
    assert supervisor(study).pid == os.getpid()
    held_by(study, taken="1970-01-01T00:00:00", pid=2**22 + 1)
    assert supervisor(study) is None


class Locked(optuna.storages.InMemoryStorage):
    """Stands for a storage on a server."""

    def __init__(self):
        super().__init__()
        self.holder = None

    def lock(self, study_name):
        self.holder = self.holder or "me"
        return self.holder == "me"

    def unlock(self, study_name):
        self.holder = None

    def is_locked(self, study_name):
        return self.holder is not None

    def evict(self, study_name):
        self.holder = None


def test_a_server_knows_who_lives():
    storage = Locked()
    study = optuna.create_study(study_name="s", storage=storage)
    held_by(study, host="elsewhere", boot="x")
    assert not read_lease(study).live  # nobody holds the lock
    assert not read_lease(study).elsewhere  # so nobody need be asked
    storage.holder = "another"
    assert supervisor(study).host == "elsewhere"
    with pytest.raises(StudyInUse, match=r"elsewhere.*--take-over"):
        take(study)
    lease = take(study, force=True)
    assert supervisor(study) == lease
    fields = {"host", "pid", "start", "boot", "taken", "namespace"}
    assert study.user_attrs[LEASE].keys() == fields
    release(study, lease)
    assert (storage.holder, study.user_attrs[LEASE]) == (None, None)


def test_a_server_lets_nobody_take_over_on_the_same_machine():
    storage = Locked()
    study = optuna.create_study(study_name="s", storage=storage)
    storage.holder = "another"
    with pytest.raises(StudyInUse, match=study.study_name):
        take(study)  # between the lock and the lease
    held_by(study, pid=4711)
    with pytest.raises(StudyInUse, match="kill 4711"):
        take(study, force=True)


def member(study, identity="m", *, age=0.0, **changes):
    """One of several supervisors, whose last heartbeat is ``age`` seconds old."""
    lease = dataclasses.replace(MINE, **changes)
    value = {**process_identity.to_attribute(lease), "beat": time.time() - age}
    study.set_user_attr(f"{PART}{identity}", value)


def test_a_member_here_lives_as_long_as_its_process(study):
    member(study, age=10 * members.LIMIT)
    assert set(members.living_members(study)) == {"m"} and supervisor(study) == MINE
    member(study, pid=2**22 + 1)
    assert members.living_members(study) == {} and supervisor(study) is None


def test_a_member_elsewhere_lives_as_long_as_its_heart_beats(study):
    member(study, host="elsewhere", age=members.LIMIT - 5)
    assert set(members.living_members(study)) == {"m"}
    with pytest.raises(StudyInUse, match=r"on elsewhere .*--join"):
        take(study)
    member(study, host="elsewhere", age=members.LIMIT + 5)
    assert members.living_members(study) == {}
    assert take(study).pid == MINE.pid


class HeldLocks:
    """Stands for a storage that knows whose lock is held."""

    def __init__(self, *held):
        self.held = held

    def is_locked(self, name):
        return name in self.held


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("locked", [True, False])
def test_a_member_elsewhere_lives_if_it_beats_or_its_lock_is_held(
    study, monkeypatch, fresh, locked
):
    """A machine that sleeps has its lock; one that lost its connection still beats."""
    limit = members.LIMIT_OF_LOCKS
    member(study, host="elsewhere", age=limit - 5 if fresh else limit + 5)
    locks = HeldLocks("s/m") if locked else HeldLocks("s/other")
    monkeypatch.setattr(members, "locks_of", lambda study: locks)
    assert set(members.living_members(study)) == ({"m"} if fresh or locked else set())


@pytest.mark.parametrize("value", [None, "x", {}, {"beat": 1.0}, {"beat": "x", "pid": 3}])
def test_an_unreadable_member_is_none(study, value):
    study.set_user_attr(f"{PART}m", value)
    assert members.living_members(study) == {}
