"""Copies of studies: round trips without loss, refusals, and nothing left by a copy that failed."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import replace

import optuna
import programs
import pytest
from fresh_kills import REAL_MAKE_FILE
from hypothesis import given, settings
from made_studies import contents
from optuna.storages import RDBStorage
from postgres import server  # noqa: F401
from toy import Toy
from toy_trail import describe, plan_at, quiet, run, trail  # noqa: F401
from waiting import until

from studies.core.attributes import LEASE
from studies.protocol import phases
from studies.storage import copying, sqlite
from studies.storage.contents import difference, read_content
from studies.storage.copying import CopyError, copy_study
from studies.storage.leases import take
from studies.storage.open import StorageError, close_storage, open_storage

pytestmark = pytest.mark.usefixtures("quiet")


def put(url, content):
    """Write a study by Optuna's own calls."""
    storage = open_storage(url, create=True)
    study = storage.create_new_study(content.directions, content.name)
    for key, value in content.user_attrs.items():
        storage.set_study_user_attr(study, key, value)
    for key, value in content.system_attrs.items():
        storage.set_study_system_attr(study, key, value)
    for trial in content.trials:
        storage.create_new_trial(study, trial)
    close_storage(storage)


def held(url, name="toy"):
    storage = open_storage(url, create=False)
    found = read_content(storage, name)
    close_storage(storage)
    return found


@pytest.fixture(scope="module")
def chain(server, tmp_path_factory):  # noqa: F811
    """Storages that a study is handed on through."""
    folder = tmp_path_factory.mktemp("chain")
    files = [f"sqlite:///{folder}/a.db", f"journal:///{folder}/b.log"]
    others = [f"journal:///{folder}/c.log", f"sqlite:///{folder}/d.db"]
    return [*files, server.new_database(), *others]


@settings(max_examples=3)
@given(content=contents())
def test_round_trips_lose_nothing(chain, content):
    name = f"toy {uuid.uuid4()}"
    content = replace(content, name=name)
    put(chain[0], content)
    assert difference(held(chain[0], name), content) == ""
    for source, target in itertools.pairwise(chain):
        copied = copy_study(name, source=source, target=target)
        assert [found.name for found in copied] == [name]
        assert difference(held(target, name), content) == ""
    # As Optuna itself reads it.
    plain = RDBStorage(chain[-1])
    assert difference(read_content(plain, name), content) == ""
    plain.remove_session()
    plain.engine.dispose()


@settings(max_examples=15)
@given(one=contents(), other=contents())
def test_a_difference_is_seen(one, other):
    assert difference(one, one) == ""
    same = (one.directions, one.user_attrs, one.system_attrs, one.trials) == (
        other.directions, other.user_attrs, other.system_attrs, other.trials
    )  # fmt: skip
    assert same <= (difference(one, other) == "")
    if one.trials:
        for changed in (
            {"trials": one.trials[:-1]},
            {"user_attrs": {**one.user_attrs, "one more": 1}},
        ):
            assert difference(one, replace(one, **changed)) != ""


def test_a_study_goes_on_where_it_was_copied_to(tmp_path):
    plan = plan_at(tmp_path)
    run(plan, Toy())
    for kind in ("journal", "sqlite"):
        url = f"{kind}:///{tmp_path / 'other' / kind}"
        copied = copy_study("toy", source=plan.storage_url, target=url)
        assert [content.name for content in copied] == ["toy", "toy.confirm"]
        assert trail(url) == trail(plan.storage_url)
        there = replace(plan, storage_url=url)
        assert run(there, Toy()).trained == 0
        more = replace(there, trials=11)
        assert len(run(more, toy := Toy()).states) and len(toy.ran) >= 2
    assert len(held(plan.storage_url).trials) == 9


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished study."""
    plan = plan_at(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", describe)
        run(plan, Toy())
    return plan.folder


@pytest.fixture
def source(finished, tmp_path):
    """The URL of a copy of it."""
    plan = plan_at(tmp_path)
    shutil.copytree(finished, plan.folder)
    return plan.storage_url


def test_other_studies_are_neither_copied_nor_touched(source, tmp_path):
    storage = open_storage(source, create=False)
    optuna.create_study(study_name="toys", storage=storage)
    close_storage(storage)
    for kind in ("journal", "sqlite"):
        url = f"{kind}:///{tmp_path / 'shared'}.{kind}"
        storage = open_storage(url, create=True)
        mine = optuna.create_study(study_name="mine", storage=storage)
        mine.enqueue_trial({"x": 1})
        close_storage(storage)
        copy_study("toy", source=source, target=url)
        storage = open_storage(url, create=False)
        names = sorted(optuna.get_all_study_names(storage))
        assert names == ["mine", "toy", "toy.confirm"]
        assert len(read_content(storage, "mine").trials) == 1
        close_storage(storage)


def test_the_lease_stays_behind(source, tmp_path):
    storage = open_storage(source, create=False)
    study = optuna.load_study(study_name="toy", storage=storage)
    study.set_user_attr(LEASE, {"host": "x"})
    close_storage(storage)
    url = f"journal:///{tmp_path / 'x.log'}"
    copy_study("toy", source=source, target=url)
    storage = open_storage(url, create=False)
    assert LEASE not in optuna.load_study(study_name="toy", storage=storage).user_attrs


def refused(source, target, name="toy"):
    with pytest.raises((CopyError, StorageError)) as caught:
        copy_study(name, source=source, target=target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_nothing_is_written_over(source, tmp_path, kind):
    url = f"{kind}:///{tmp_path / 'there'}"
    copy_study("toy", source=source, target=url)
    before = (tmp_path / "there").read_bytes()
    assert "holds a study 'toy' already" in refused(source, url)
    assert (tmp_path / "there").read_bytes() == before
    assert "is the storage that the study is in" in refused(source, source)


def test_what_is_not_there_or_is_being_run_is_refused(source, tmp_path):
    url = f"journal:///{tmp_path / 'x.log'}"
    assert "there is no study 'other'" in refused(source, url, "other")
    assert "no study database" in refused(f"sqlite:///{tmp_path / 'no.db'}", url)
    storage = open_storage(source, create=False)
    take(optuna.load_study(study_name="toy", storage=storage))
    assert f"being run by process {os.getpid()}" in refused(source, url)
    close_storage(storage)
    assert not (tmp_path / "x.log").exists()


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_source_that_changes_meanwhile_leaves_no_copy(
    source, tmp_path, monkeypatch, kind, existing
):
    path = tmp_path / "target"
    url = f"{kind}:///{path}"
    if existing:
        storage = open_storage(url, create=True)
        optuna.create_study(study_name="mine", storage=storage)
        close_storage(storage)
    real, reads = copying._read, []

    def read(name, where):
        if reads:
            storage = open_storage(source, create=False)
            optuna.load_study(study_name="toy", storage=storage).enqueue_trial({"x": 1})
            close_storage(storage)
        reads.append(where)
        return real(name, where)

    monkeypatch.setattr(copying, "_read", read)
    assert "was changed while it was copied" in refused(source, url)
    assert path.exists() == existing
    # A journal's lock stays beside it.
    left = [entry.name for entry in tmp_path.glob("target*") if entry.suffix != ".turn"]
    assert left == ["target"] * existing
    if existing:
        storage = open_storage(url, create=False)
        assert optuna.get_all_study_names(storage) == ["mine"]
        close_storage(storage)


def test_a_copy_that_reads_back_otherwise_is_none(source, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.storage.sql_writing.attribute_rows", lambda attributes: [])
    assert "does not hold what was written" in refused(source, f"sqlite:///{tmp_path / 'x.db'}")
    assert not (tmp_path / "x.db").exists()


def test_a_server_refuses_what_it_cannot_hold(server, tmp_path):  # noqa: F811
    source, target = f"journal:///{tmp_path / 'x.log'}", server.new_database()
    storage = open_storage(source, create=True)
    study = optuna.create_study(study_name="toy", storage=storage)
    study.enqueue_trial({"x": 1})
    storage.set_trial_intermediate_value(0, 2**40, 1.0)  # a step beyond PostgreSQL's integers
    assert "out of range" in refused(source, target)
    for opened in (storage, there := open_storage(target, create=False)):
        assert len(optuna.get_all_study_names(opened)) == (opened is not there)
        close_storage(opened)


def copy_and_wait():
    """Copy a study; wait for ever where the copy is compared with it."""

    def check(*_):
        print("written", flush=True)
        sys.stdin.read()

    copying.check_same = check
    copy_study("toy", source=sys.argv[1], target=sys.argv[2])


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_a_copy_that_is_killed_leaves_nothing_and_can_be_done_again(
    source, tmp_path, kind, request
):
    target = f"{kind}:///{tmp_path / 'target'}"
    if kind == "postgresql":
        target = request.getfixturevalue("server").new_database()
    process = programs.start(copy_and_wait, "copy", source, target, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()

    def copied():
        try:
            return copy_study("toy", source=source, target=target)
        except StorageError:  # a server needs a moment to see that a connection has ended
            return False

    until(copied)
    assert trail(target) == trail(source)
    assert not list(tmp_path.glob("*.copying"))


def test_a_big_study(tmp_path):
    source, target = f"sqlite:///{tmp_path / 'a.db'}", f"journal:///{tmp_path / 'b.log'}"
    storage = open_storage(source, create=True)
    study = optuna.create_study(study_name="toy", storage=storage)
    study.add_trials(
        optuna.trial.create_trial(value=float(n), user_attrs={"seed": n}) for n in range(450)
    )
    close_storage(storage)
    copy_study("toy", source=source, target=target)
    assert [json.dumps(trial.values) for trial in held(target).trials] == [
        json.dumps([float(n)]) for n in range(450)
    ]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_read_only_target_is_one_line(source, small_disk, kind, monkeypatch):
    """Even to delete a file that is not there is refused on such a disk."""
    monkeypatch.setattr(sqlite, "make_file", REAL_MAKE_FILE)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError, match=str(small_disk)):
        copy_study("toy", source=source, target=f"{kind}:///{small_disk / 'copy'}")
