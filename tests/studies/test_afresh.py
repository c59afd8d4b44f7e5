"""``--fresh``: what is there is moved aside whole, but the test set stays read."""

import dataclasses

import pytest
from test_protocol import run
from toy import TestSet, Toy, make_plan

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from studies import protocol
from studies.book import stored
from studies.forks.afresh import begin_afresh
from studies.report.table import markdown
from studies.report.warnings import warnings


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(protocol.environment, "describe", lambda plan: {})


@pytest.mark.parametrize("sqlite", [False, True])
def test_what_is_begun_anew_inherits_the_reading_of_the_test_set(tmp_path, sqlite):
    plan, test, said = make_plan(tmp_path, sqlite=sqlite), TestSet(), []
    run(plan, test=test)
    moved = begin_afresh(plan, say=said.append)
    assert said == [f"moved what was there to {moved}"] and moved.is_dir()
    assert not stored.exists(plan)  # killed here, a run begins as ever

    changed = dataclasses.replace(plan, train=TrainConfig(epochs=9, device="cpu", threads=1))
    result = run(changed, test=test)
    assert len(test.readings) == 1 and result.untested == len(test.readings[0])
    assert f"(by study {moved.name})" in markdown(result)
    again = run(changed, test=test, read_test_again=True)
    assert len(test.readings) == 2 and again.untested == 0
    (line,) = [line for line in warnings(again) if "was read 2 times" in line]
    assert line.endswith(f"1 by {moved.name}, which this study was begun anew from")


def test_what_has_read_nothing_or_other_images_leaves_nothing(tmp_path):
    plan = make_plan(tmp_path)
    assert begin_afresh(plan, say=str) is None
    with pytest.raises(protocol.UserError):
        run(plan, toy=Toy(failing=("sgd", "adam", "adagrad")))
    begin_afresh(plan, say=str)
    assert not plan.folder.exists()
    plan = make_plan(tmp_path / "finished")
    run(plan)
    other = TrainConfig.from_mapping({"data": {"name": "fashion_mnist"}}, source="test")
    begin_afresh(dataclasses.replace(plan, train=other), say=str)
    assert not plan.folder.exists()


def test_a_broken_database_is_moved_aside_as_well(tmp_path):
    plan, said = make_plan(tmp_path, sqlite=True), []
    plan.folder.mkdir(parents=True)
    (plan.folder / "study.db").write_text("this is no database" * 100)
    moved = begin_afresh(plan, say=said.append)
    assert (moved / "study.db").exists() and not plan.folder.exists()
    assert len(said) == 2 and "is not known" in said[1]


@pytest.mark.parametrize("elsewhere", ["server", "file"])
def test_a_database_elsewhere_that_cannot_be_read_leaves_the_folder_where_it_is(
    tmp_path, elsewhere
):
    """It may hold the study: what is begun anew would go on with it, without its folder."""
    url, reason = "postgresql+psycopg://me@127.0.0.1:1/x", "refused"
    if elsewhere == "file":
        broken = tmp_path / "shared.db"
        broken.write_text("this is no database" * 100)
        url, reason = f"sqlite:///{broken}", "is no SQLite database"
    plan = dataclasses.replace(make_plan(tmp_path), storage_url=url)
    (plan.folder / "events").mkdir(parents=True)
    with pytest.raises(UserError, match=reason):
        begin_afresh(plan, say=str)
    assert (plan.folder / "events").is_dir() and not list(plan.folder.parent.glob("toy.*"))


def test_a_database_elsewhere_without_studies_hinders_nothing(tmp_path):
    plan, said = make_plan(tmp_path), []
    plan = dataclasses.replace(plan, storage_url=f"sqlite:///{tmp_path / 'shared.db'}")
    plan.folder.mkdir(parents=True)
    moved = begin_afresh(plan, say=said.append)
    assert said == [f"moved what was there to {moved}"] and not plan.folder.exists()
