"""``studies list``, ``rename``, ``archive`` and ``clean`` with studies on a PostgreSQL server."""

import dataclasses
import itertools
import shutil
from functools import partial

import pytest
from fresh_kills import die_at, plan_of
from postgres import server  # noqa: F401
from test_protocol import run

from mnist_core.errors import UserError
from studies.analysis import stored_study
from studies.analysis.found_studies import found_studies
from studies.protocol.archiving import archive_study, restore
from studies.protocol.cleaning import leftovers
from studies.protocol.renaming import rename, renamed_location
from studies.storage.contents import difference, read_content
from studies.storage.leases import StudyInUse, read_lease, take
from studies.storage.location import StudyLocation


@pytest.fixture
def plan(tmp_path, server, request):  # noqa: F811
    made = plan_of("postgresql", tmp_path / "results", request)
    run(made)
    return made


def held(location):
    with location.opened(required=True) as studies:
        return {name: read_content(studies.storage, name) for name in studies.names}


def renamed(plan, write=lambda: None):
    new = renamed_location(plan.location, "toy-first")
    rename(plan.location, new, write_files=write)
    return new


def test_the_studies_of_a_server_are_listed(plan):
    results = plan.folder.parent
    (found,) = found_studies(results, plan.storage_url)
    assert (found.name, found.state, found.done) == ("toy", "finished", 6)
    assert found.folder == plan.folder and found.size
    shutil.rmtree(plan.folder)
    (found,) = found_studies(results, plan.storage_url)
    assert found.folder is None and found.date is not None and found.best is not None


def test_a_study_gets_a_new_name_on_the_server(plan):
    before = held(plan.location)
    new = renamed(plan)
    after = held(new)
    assert set(after) == {"toy-first", "toy-first.confirm"} and not plan.folder.exists()
    for name, content in before.items():
        other = after[name.replace("toy", "toy-first")]
        assert difference(dataclasses.replace(content, name=other.name), other) == ""
    with new.opened() as studies:
        assert read_lease(studies.search) is None
    there = dataclasses.replace(plan, name="toy-first", folder=new.folder)
    assert stored_study.read(there).phase == "finished"


def test_what_fails_leaves_the_old_study(plan):
    def fail():
        raise UserError("no room")

    before = held(plan.location)
    with pytest.raises(UserError, match="no room"):
        renamed(plan, fail)
    assert [difference(before[name], one) for name, one in held(plan.location).items()] == ["", ""]
    assert [path.name for path in plan.folder.parent.iterdir()] == ["toy"]
    with plan.location.opened() as studies:
        assert read_lease(studies.search) is None


def test_a_running_study_is_refused(plan):
    with plan.location.opened() as studies:
        take(studies.search)
        with pytest.raises(StudyInUse):
            renamed(plan)
        with pytest.raises(StudyInUse):
            archive_study(plan.location, plan.folder.parent / "a.tar.gz", remove=False, say=str)


def test_an_archive_has_a_copy_of_what_the_server_holds(plan, tmp_path):
    before = held(plan.location)
    file = tmp_path / "a.tar.gz"
    archive_study(plan.location, file, remove=True, say=str)
    assert not plan.folder.exists() and set(held(plan.location)) == set(before)
    found, folder = restore(file, tmp_path / "back")
    assert found.storage.startswith("postgresql")
    after = held(StudyLocation("toy", folder, f"sqlite:///{folder / 'study.db'}"))
    assert [difference(before[name], after[name]) for name in before] == ["", ""]


def test_models_that_lost_can_be_removed(plan):
    found = list(leftovers(stored_study.read(plan)))
    assert {one.kind for one in found} <= {"models"}


@pytest.mark.long
def test_killed_anywhere_the_old_or_the_new_study_is_whole(tmp_path, server, request):  # noqa: F811
    base = plan_of("postgresql", tmp_path / "base", request)
    run(base)
    states = set()
    for number in itertools.count(1, 3):
        place = tmp_path / str(number)
        shutil.copytree(base.folder.parent, place)
        url = server.copy_of(base.storage_url)
        plan = dataclasses.replace(base, folder=place / "toy", storage_url=url)
        if not die_at(number, partial(renamed, plan)):
            break
        new = renamed_location(plan.location, "toy-first")
        names = set(held(plan.location))
        assert names in ({"toy", "toy.confirm"}, {"toy-first", "toy-first.confirm"})
        states.add(min(names))
        whole = plan.location if "toy" in names else new
        there = dataclasses.replace(plan, name=whole.name, folder=whole.folder)
        assert stored_study.read(there).phase == "finished"
        models = len(list((base.folder / "checkpoints").rglob("*.safetensors")))
        assert len(list((whole.folder / "checkpoints").rglob("*.safetensors"))) == models
    assert states == {"toy", "toy-first"}
