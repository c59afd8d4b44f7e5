"""``--fresh``: what is there is moved aside whole, but the test set stays read."""

import dataclasses
import os
import shutil
import sqlite3

import pytest
from fresh_kills import (
    REAL_MAKE_FILE,
    files,
    killed_everywhere,
    next_start,
    plan_of,
    record,
    set_record,
)
from test_protocol import run
from test_storage_faults import locker
from toy import TestSet, Toy, make_plan
from toy_trail import quiet  # noqa: F401

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from studies.core.event_log import FILE
from studies.protocol.fork import check_made, fork
from studies.protocol.fresh_start import start_fresh
from studies.report.table import markdown
from studies.report.warnings import warnings
from studies.storage import sqlite

pytestmark = pytest.mark.usefixtures("quiet")
FILES = ("sqlite", "journal", "sqlite elsewhere", "journal elsewhere")  # PostgreSQL: storage_kinds
QUICK = [k if k != "sqlite elsewhere" else pytest.param(k, marks=pytest.mark.long) for k in FILES]
"""The three others have both kinds of file, and both places."""
FASHION = TrainConfig.from_mapping({"data": {"name": "fashion_mnist"}}, source="test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study in SQLite."""
    plan = make_plan(tmp_path_factory.mktemp("finished"), trials=6, seeds=2, sqlite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.protocol.phases.fingerprint.describe", lambda plan: {})
        run(plan)
    (plan.folder / FILE).touch()
    return plan


@pytest.fixture
def plan(tmp_path, finished):
    """The plan of a copy of it."""
    shutil.copytree(finished.folder, tmp_path / "toy")
    return make_plan(tmp_path, trials=6, seeds=2, sqlite=True)


@pytest.mark.parametrize("kind", QUICK)
def test_what_is_begun_anew_inherits_the_reading_of_the_test_set(tmp_path, kind, request):
    begun_anew(plan_of(kind, tmp_path, request))


def begun_anew(plan):
    test, said = TestSet(), []
    run(plan, test=test)
    changed = dataclasses.replace(plan, train=TrainConfig(epochs=9, device="cpu", threads=1))
    moved = start_fresh(changed, say=said.append)
    assert str(moved) in said[0] and moved.is_dir()
    found, search = record(plan)
    assert [one.study for one in found.readings] == [moved.name] and not search

    result = run(changed, test=test)
    assert len(test.readings) == 1 and result.untested == len(test.readings[0])
    assert f"(by study {moved.name})" in markdown(result)
    again = run(changed, test=test, read_test_again=True)
    assert len(test.readings) == 2 and again.untested == 0
    (line,) = [line for line in warnings(again) if "was read 2 times" in line]
    assert f"1 by {moved.name}, " in line
    start_fresh(changed, say=str)
    assert len(record(plan)[0].times) == 2  # once each


def test_what_has_read_nothing_leaves_nothing(tmp_path):
    plan = make_plan(tmp_path)
    assert start_fresh(plan, say=str) is None
    with pytest.raises(UserError):
        run(plan, toy=Toy(failing=("sgd", "adam", "adagrad")))
    start_fresh(plan, say=str)
    assert not plan.folder.exists()


def test_a_reading_of_other_images_counts_again_when_a_study_returns_to_them(tmp_path):
    plan = make_plan(tmp_path)
    run(plan)
    fashion = dataclasses.replace(plan, train=FASHION)
    start_fresh(fashion, say=str)
    assert not record(plan)[0].readings
    test = TestSet()
    run(fashion, test=test)
    assert len(test.readings) == 1
    start_fresh(plan, say=str)
    assert len(record(plan)[0].readings) == 1
    assert run(plan, test=test).untested and len(test.readings) == 1


def test_a_reading_that_was_broken_off_stays_on_record(tmp_path):
    plan, test = make_plan(tmp_path), TestSet()

    def broken(plan, models):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, test=broken)
    start_fresh(plan, say=str)
    result = run(plan, test=test)  # nobody has seen values, so it is read without being asked to
    assert len(test.readings) == 1 and result.untested == 0
    assert len(result.test.times) == 2


def broken(path):
    path.write_text("this is no database" * 100)


def cut(path):
    os.truncate(path, 3 * path.stat().st_size // 4)


@pytest.mark.parametrize("damage", [broken, cut, lambda path: os.truncate(path, 0), os.unlink])
def test_a_study_whose_database_is_damaged_may_have_read_the_test_set(plan, damage):
    damage(plan.folder / "study.db")
    said, test = [], TestSet()
    moved = start_fresh(plan, say=said.append)
    assert (moved / FILE).exists() and len(said) == 2 and "is not known" in said[1]
    (one,) = record(plan)[0].readings
    assert (one.study, one.certain) == (moved.name, False)
    result = run(plan, test=test)
    assert len(test.readings) == 1 and result.untested == 0 and len(result.test.times) == 1
    assert any(moved.name in line for line in warnings(result))
    assert f"perhaps by study {moved.name}" in markdown(result)
    start_fresh(plan, say=str)
    found, _ = record(plan)
    assert found.uncertain == (moved.name,) and len(found.times) == 1


def change(plan, statement):
    with sqlite3.connect(plan.folder / "study.db") as connection:
        connection.execute(statement)
    connection.close()


def refused(plan):
    """Ask for --fresh, which is refused in one line; nothing is changed."""
    before = files(plan.folder.parent)
    with pytest.raises(UserError) as caught:
        start_fresh(plan, say=str)
    after = files(plan.folder.parent)
    assert {p: c for p, c in after.items() if not p.name.endswith(("-wal", "-shm"))} == before
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"values": 3},
        {"values": {}},
        {"values": {"0": 1}, "openings": []},
        {"values": {}, "openings": [{"time": 5, "trials": [], "kept": True}]},
        {"values": {}, "openings": [{"time": "t", "trials": 5, "kept": True}]},
        {"values": {}, "openings": 7},
        {"values": {"x": {}}, "openings": []},
        {"values": {}, "times": [None]},
        [],
        "read",
        7,
    ],
)
def test_a_record_of_another_shape_is_refused_and_nothing_is_moved(plan, value):
    set_record(plan, value)
    assert "record of the test set" in refused(plan)


def test_what_is_unreadable_for_another_reason_than_damage_is_refused(
    plan, monkeypatch, ready_made_databases
):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.1)
    with locker(plan.folder / "study.db", 600) as lock:
        change(plan, "PRAGMA journal_mode=DELETE")
        change(plan, "PRAGMA locking_mode=EXCLUSIVE")
        lock()
        assert "locked" in refused(plan)
    change(plan, "ALTER TABLE version_info RENAME TO other")
    assert "another program" in refused(plan)
    change(plan, "ALTER TABLE other RENAME TO version_info")
    monkeypatch.undo()
    ready_made_databases.undo()
    change(plan, "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    assert "optuna" in refused(plan)
    change(plan, "UPDATE alembic_version SET version_num = 'v3.2.0.a'")

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(UserError, match="Permission denied"):
        start_fresh(plan, say=str)
    monkeypatch.undo()
    (plan.folder / "study.db").unlink()
    (plan.folder / "study.db").mkdir()
    assert "directory" in refused(plan)


@pytest.mark.parametrize("kind", QUICK)
def test_on_a_full_disk_nothing_is_moved(small_disk, kind, request, monkeypatch):
    monkeypatch.setattr(sqlite, "make_file", REAL_MAKE_FILE)
    plan = plan_of(kind, small_disk, request)
    run(plan)
    found, _ = record(plan)
    full, refusals = small_disk / "full", 0
    for room in range(0, 400_000, 40_000):
        with pytest.raises(OSError), full.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        os.truncate(full, full.stat().st_size - room)
        try:
            start_fresh(plan, say=str)
        except UserError as error:
            assert "\n" not in str(error)
            refusals += 1
        else:
            break
        full.unlink()
        assert plan.folder.is_dir() and not list(small_disk.glob(".*"))
        assert record(plan) == (found, True)
    assert refusals > 0
    full.unlink(missing_ok=True)
    assert next_start(plan)[0].times == found.times
    assert record(plan)[0].readings[0].study


def test_a_fresh_of_an_older_version_that_was_killed_loses_nothing_either(plan):
    """It moved the folder first, and wrote the record later."""
    found, _ = record(plan)
    plan.folder.rename(plan.folder.with_name("toy.20261130-101500"))
    with pytest.raises(UserError, match="'toy'"):
        fork(dataclasses.replace(plan, train=FASHION), "", say=str)
    assert next_start(plan)[0].times == found.times
    start_fresh(plan, say=str)
    assert next_start(plan)[0].times == found.times


def test_a_record_that_waits_for_other_settings_fits_those_of_the_next_run(plan):
    """A --fresh was killed before its study was made; then the settings were changed."""
    start_fresh(dataclasses.replace(plan, train=FASHION), say=str)
    found, _ = record(plan)
    assert not found.readings and len(found.of_other_data) == 1
    test = TestSet()
    settings = {"search": {"objectives": {"parameters": "minimize"}}}
    other = make_plan(plan.folder.parent, sqlite=True, **settings)
    assert len(next_start(other)[0].readings) == 1
    assert len(next_start(plan)[0].readings) == 1
    result = run(plan, test=test)
    assert test.readings == [] and result.untested > 0


def test_a_fork_that_is_begun_anew_keeps_its_own_reading(plan):
    changed = dataclasses.replace(plan, train=TrainConfig(epochs=9, device="cpu", threads=1))
    forked = fork(changed, "wide", say=str)
    run(forked, read_test_again=True)
    assert len(record(forked)[0].readings) == 2
    start_fresh(forked, say=str)
    check_made(forked.commands)  # killed here
    with pytest.raises(UserError, match=r"study toy-wide .*--fresh"):
        fork(changed, "wide", say=str)
    shutil.rmtree(forked.folder)  # killed between the renamings
    check_made(forked.commands)
    again = fork(changed, "wide", say=str)
    assert again == forked
    # Of the study that it is a fork of, too, which the old one had inherited: not twice.
    assert len(record(again)[0].readings) == 2


@pytest.mark.parametrize(
    "kind", [*FILES[:2], *(pytest.param(kind, marks=pytest.mark.long) for kind in FILES[2:])]
)
@pytest.mark.parametrize("lines", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_at_every_step_the_record_is_there_at_the_next_start(tmp_path, kind, lines, request):
    killed_everywhere(tmp_path, kind, request, lines=lines)
