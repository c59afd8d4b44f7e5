"""Optuna's own acceptance tests of storages, on each kind that studies are kept in.

A database is opened once and emptied after each test: to open one takes longer than most tests.
"""

import pytest
from optuna.testing.pytest_storages import StorageTestCase
from postgres import server  # noqa: F401

from studies.storage.open import close_storage, open_storage
from studies.storage.url import journal_url, sqlite_url


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "study.db"
    storage = open_storage(sqlite_url(path), create=True)
    yield storage
    close_storage(storage)


@pytest.fixture(scope="module")
def postgres(server):  # noqa: F811
    storage = open_storage(server.new_database(), create=True)
    yield storage
    close_storage(storage)


def emptied(storage):
    yield storage
    for study in storage.get_all_studies():
        storage.delete_study(study._study_id)


class TestSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, sqlite):
        yield from emptied(sqlite)


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path):
        return open_storage(journal_url(tmp_path / "log"), create=True)


@pytest.mark.long
class TestPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, postgres):
        yield from emptied(postgres)
