"""The files of ``studies/`` that one report of a trial passes, from its arrival to its storage."""

import sys
from pathlib import Path

import pytest
import toys
from toy_plans import toy_plan

import studies
from studies import engines
from studies.ledger.opening import open_search
from studies.ledger.trial_book import TrialBook
from studies.storage.open import close_storage, open_storage

ROOT = Path(studies.__file__).parent
LOOKED_AT = (10, 2)
"""Trial and step of the report: the pruner has trials to compare, and does not stop it."""

BOOK = {
    "core/events.py",
    "ledger/answers.py",
    "ledger/order.py",
    "ledger/trial_book.py",
    "ledger/trial_table.py",
    "ledger/write_queue.py",
    "search/pruning.py",
    "search/study_views.py",
    "storage/sql.py",
    "storage/sql_writing.py",
    "storage/sqlite.py",
}
ENGINES = {
    "inline": {"engines/inline.py", "engines/_local/execution.py"},
    "local": {"engines/local.py", "engines/_local/worker_process.py"},
}


@pytest.fixture
def passed(monkeypatch):
    """The files whose functions ran from a report to the end of its ``flush``."""
    files, going = set(), []
    report, flush = TrialBook.report, TrialBook.flush

    def look(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            files.add(path.relative_to(ROOT).as_posix())

    def reported(book, task, step, metrics):
        if (task.number, step) == LOOKED_AT:
            going.append(True)
            caller = sys._getframe(1)
            while caller is not None:  # what has brought it here
                look(caller, "call", None)
                caller = caller.f_back
            sys.setprofile(look)
        return report(book, task, step, metrics)

    def flushed(book, *, now=True):
        flush(book)
        if going:
            sys.setprofile(None)
            going.clear()

    monkeypatch.setattr(TrialBook, "report", reported)
    monkeypatch.setattr(TrialBook, "flush", flushed)
    yield files
    sys.setprofile(None)


@pytest.mark.parametrize("name", ["inline", "local"])
def test_few_files(tmp_path, passed, name):
    plan = toy_plan(tmp_path, trials=12, sqlite=True, pruner="median")
    storage = open_storage(plan.storage_url, create=True)
    with (
        engines.create(name, workers=1, threads=1) as engine,
        open_search(plan, storage) as book,
    ):
        engine.run(book, toys.Toy(tmp_path, sleep=0.01))
    close_storage(storage)
    assert passed == BOOK | ENGINES[name]
    assert len(BOOK) <= 11
