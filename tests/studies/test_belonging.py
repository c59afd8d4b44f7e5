"""Whose files these are: no log, tracker's list or model of another study is gone on with."""

import dataclasses
import shutil

import optuna
import pytest
from test_protocol import run
from test_recording import events, record
from toy import TestSet, make_plan

from mnist_core.errors import UserError
from objectives.mistake_images import MistakeImages
from studies.analysis import stored_study
from studies.cli.sync import sync_command
from studies.core.event_log import FILE, survey
from studies.dashboard.completion import Completion
from studies.protocol import phases
from studies.protocol.fresh_start import start_fresh
from studies.report.blocks import Mistakes
from studies.report.page import gather
from studies.storage.belonging import MODELS, ForeignFiles, owner
from studies.storage.copying import copy_study
from studies.storage.open import close_storage, open_storage, storage_file
from studies.storage.url import journal_url
from studies.tracking.kept import Kept


@pytest.fixture(autouse=True, scope="module")
def _no_data():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {})
        yield


def plan_in(folder, **settings):
    return make_plan(folder, trials=6, seeds=2, tracking={"trackers": []}, **settings)


def keep(plan, tracker="tensorboard"):
    """Leave the list of a tracker that has kept the study's trials."""
    (plan.folder / "trackers").mkdir(exist_ok=True)
    kept = Kept(plan.folder / "trackers" / f"{tracker}.kept")
    contents = survey(plan.folder / FILE)
    kept.study = contents.study
    for key in sorted(contents.over):
        kept.add(*key)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folders of two finished studies with the same settings."""
    plans = [plan_in(tmp_path_factory.mktemp(name)) for name in ("one", "other")]
    for plan in plans:
        record(plan)
        keep(plan)
    return plans


@pytest.fixture
def plan(tmp_path, finished):
    """A copy of the first one."""
    made = plan_in(tmp_path)
    shutil.copytree(finished[0].folder, made.folder)
    return made


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(plan):
    """Run the study; it is refused and nothing is changed."""
    before, test = contents(plan.folder), TestSet()
    with pytest.raises(ForeignFiles) as caught:
        record(plan, test=test)
    after = contents(plan.folder)
    assert "--fresh" in str(caught.value) and "\n" not in str(caught.value)
    assert before == {path: after[path] for path in before} and test.readings == []
    return str(caught.value)


def test_one_identity_stands_in_all_files(finished):
    identities = set()
    for plan in finished:
        identity = stored_study.read(plan).identity
        assert {e.data["id"] for e in events(plan) if e.kind == "study"} == {identity}
        assert (plan.folder / MODELS / "study.id").read_text().strip() == identity
        (kept,) = (plan.folder / "trackers").iterdir()
        assert kept.read_text().startswith(f"study id {identity}\n")
        identities.add(identity)
    assert len(identities) == 2


@pytest.mark.parametrize("how", ["deleted", "empty", "another", "its study deleted"])
@pytest.mark.parametrize("left", [FILE, "trackers", MODELS, "all"])
def test_files_without_their_database_are_not_gone_on_with(plan, finished, how, left):
    database = storage_file(plan.storage_url)
    if how == "deleted":
        database.unlink()
    elif how == "empty":
        database.write_bytes(b"")
    elif how == "another":
        shutil.copy(storage_file(finished[1].storage_url), database)
    else:
        storage = open_storage(plan.storage_url, create=False)
        for name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        close_storage(storage)
    for name in (FILE, "trackers", MODELS):
        if left not in (name, "all"):
            path = plan.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = refused(plan)
    for name in (FILE, "trackers", MODELS):
        assert (name in said) == (left in (name, "all"))
    assert database.exists() == (how != "deleted")


def test_sqlite_too(tmp_path):
    plan = plan_in(tmp_path, sqlite=True)
    record(plan)
    storage_file(plan.storage_url).unlink()
    refused(plan)
    storage_file(plan.storage_url).touch()
    refused(plan)
    assert storage_file(plan.storage_url).stat().st_size == 0


@pytest.mark.parametrize("name", [FILE, "trackers", MODELS])
def test_what_another_study_has_left_is_not_gone_on_with(plan, finished, name):
    """The database is the right one; the log, the models, the list came from elsewhere."""
    mine, theirs = plan.folder / name, finished[1].folder / name
    if mine.is_dir():
        shutil.rmtree(mine)
        shutil.copytree(theirs, mine)
    else:
        shutil.copy(theirs, mine)
    assert name in refused(plan)


def test_sync_refuses_the_log_of_another_study(plan, finished, monkeypatch):
    shutil.copy(finished[1].folder / FILE, plan.folder)
    monkeypatch.setattr("studies.cli.options.Chosen.find", lambda *_, **__: plan)
    before = contents(plan.folder)
    with pytest.raises(ForeignFiles):
        sync_command("toy", tracker=["tensorboard"])
    assert contents(plan.folder) == before


def test_sync_refuses_a_log_beside_the_database_of_another_program(plan, monkeypatch):
    """It has a study of that name, but one that this program has not made: without identity."""
    storage_file(plan.storage_url).unlink()
    storage = open_storage(plan.storage_url, create=True)
    optuna.create_study(study_name=plan.name, storage=storage, direction="maximize")
    close_storage(storage)
    monkeypatch.setattr("studies.cli.options.Chosen.find", lambda *_, **__: plan)
    before = contents(plan.folder)
    with pytest.raises(ForeignFiles):
        sync_command("toy", tracker=["tensorboard"])
    assert contents(plan.folder) == before


def test_models_of_another_study_are_not_shown_as_the_study_s_own(plan, finished):
    found = stored_study.read(plan)
    model = next((plan.folder / MODELS / "confirm").iterdir())
    number = int(model.stem)
    for foreign in (False, True):
        if foreign:
            (plan.folder / MODELS / "study.id").write_text(
                stored_study.read(finished[1]).identity + "\n"
            )
        (shown,) = [one for one in gather(found).blocks if isinstance(one, Mistakes)]
        assert ("another study" in shown.text) == foreign
        storage = open_storage(plan.storage_url, create=False)
        files = Completion(found, storage, MistakeImages())._files(found.confirm[number], True)
        close_storage(storage)
        assert any(file.name.endswith(model.name) for file in files.values()) != foreign


@pytest.mark.parametrize("name", [FILE, "trackers", MODELS])
def test_what_is_missing_is_made_again(plan, name):
    """The database is there, and nothing is of another study: models were moved, a log was lost."""
    whole, identity = survey(plan.folder / FILE), stored_study.read(plan).identity
    path = plan.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    _, result = record(plan)
    assert result.trained == 0
    again = survey(plan.folder / FILE)
    assert (again.over, again.study) == (whole.over, identity)
    assert owner(plan.folder) == identity


def test_an_older_log_is_filled_in(plan):
    path = plan.folder / FILE
    whole, lines = survey(path), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 3]))
    said, _ = record(plan)
    assert said == [] and survey(path).over == whole.over


def test_an_older_database_is_said(tmp_path):
    """It is the study's own, so it may be gone on with: a power cut takes its last writes, too."""
    plan = plan_in(tmp_path)
    record(dataclasses.replace(plan, trials=3))
    database = storage_file(plan.storage_url)
    older = database.read_bytes()
    record(plan)
    database.write_bytes(older)
    said, _ = record(plan)
    assert len([line for line in said if "more search trials than the database" in line]) == 1


def test_a_copy_in_another_storage_goes_on_with_the_files(plan):
    target = dataclasses.replace(plan, storage_url=journal_url(plan.folder / "copy"))
    copy_study(plan.name, source=plan.storage_url, target=target.storage_url)
    storage_file(plan.storage_url).unlink()
    said, result = record(dataclasses.replace(target, trials=8))
    assert said == [] and sum(result.states.values()) == 8


def test_a_study_of_an_earlier_version_takes_the_identity_of_its_log(plan):
    storage = open_storage(plan.storage_url, create=False)
    (study,) = [s for s in storage.get_all_studies() if s.study_name == plan.name]
    attributes = storage.get_study_user_attrs(study._study_id)
    database = storage_file(plan.storage_url)
    lines = [line for line in database.read_text().splitlines(True) if '"identity"' not in line]
    database.write_text("".join(lines))
    shutil.rmtree(plan.folder / "trackers")
    (plan.folder / MODELS / "study.id").unlink()
    assert stored_study.read(plan).identity == ""
    record(plan)
    assert stored_study.read(plan).identity == attributes["identity"] == owner(plan.folder)


def test_what_is_begun_anew_knows_from_the_log_that_the_test_set_was_read(plan):
    storage_file(plan.storage_url).unlink()
    said, test = [], TestSet()
    moved = start_fresh(plan, say=said.append)
    result = run(plan, test=test)
    assert test.readings == [] and result.untested > 0
    (opening,) = result.test.readings
    assert opening.study == moved.name and opening.kept
    read = {e.trial for e in events(dataclasses.replace(plan, folder=moved)) if e.kind == "tested"}
    assert set(opening.trials) == read


def test_a_log_that_cannot_be_read_is_one_line(plan):
    (plan.folder / FILE).unlink()
    (plan.folder / FILE).mkdir()
    with pytest.raises(UserError):
        shutil.rmtree(plan.folder / "trackers")
        (plan.folder / "trackers" / "x.kept").mkdir(parents=True)
        run(plan)
