"""URLs of storages that are files: a path goes in, and that very path comes out."""

import os
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from studies.planning.lookup import find
from studies.storage.open import close_storage, open_storage, storage_file
from studies.storage.url import absolute_url, journal_url, sqlite_url

NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=12)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: Path(*names))
HARD = ["a%41b", "feature%2Fx", "why?x=1&y=2", "100%", "#1", "a b+c", "a:b@c", "{x}", "é", "n\nl"]


@given(PATHS, st.booleans())
def test_a_path_comes_out_of_its_url(path, absolute):
    path = Path("/", path) if absolute else path
    for url in (sqlite_url(path), journal_url(path)):
        assert storage_file(url) == path
        assert storage_file(absolute_url(url)) == path.absolute()
    assert make_url(sqlite_url(path)).database == str(path)


@given(PATHS, PATHS)
def test_two_paths_have_two_urls(one, other):
    for make in (sqlite_url, journal_url):
        assert (make(one) == make(other)) == (one == other)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql+psycopg://a@b/c"])
def test_what_names_no_file_has_no_absolute_path(url):
    assert absolute_url(url) == url


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty database: to make one takes longer than to copy it."""
    path = tmp_path_factory.mktemp("made") / "study.db"
    close_storage(open_storage(sqlite_url(path), create=True))
    return path.read_bytes()


@pytest.mark.parametrize("make", [sqlite_url, journal_url])
def test_each_folder_has_its_own_database(tmp_path, database, make):
    """Whatever it is called: the file lies in that folder, and nowhere else."""
    for name in [*HARD, "aAb"]:
        path = tmp_path / name / "study.db"
        path.parent.mkdir()
        if make is sqlite_url:
            path.write_bytes(database)
        storage = open_storage(make(path), create=True)
        assert optuna.get_all_study_names(storage) == []
        optuna.create_study(study_name=name, storage=storage)
        close_storage(storage)
    assert sorted(os.listdir(tmp_path)) == sorted([*HARD, "aAb"])
    for name in HARD:
        storage = open_storage(make(tmp_path / name / "study.db"), create=False)
        assert optuna.get_all_study_names(storage) == [name]
        close_storage(storage)


def test_a_folder_with_such_a_name_is_found(tmp_path, database):
    for name in HARD:
        folder = tmp_path / name / "optim_search"
        folder.mkdir(parents=True)
        (folder / "study.db").write_bytes(database)
        by_name = find("optim_search", sets={"results.folder": str(folder.parent)})
        by_folder = find(str(folder))
        for plan in (by_name, by_folder):
            assert plan.folder == folder and storage_file(plan.storage_url) == folder / "study.db"
