"""What a trial's end costs: its attributes are one write, however many they are."""

import dataclasses

import pytest
import sqlalchemy
from postgres import server  # noqa: F401
from toy import make_plan
from toy_trail import quiet  # noqa: F401

from objectives.base import Outcome
from studies.ledger.opening import open_search
from studies.storage.journal import Journal
from studies.storage.open import close_storage, open_storage, whole_trials

pytestmark = pytest.mark.usefixtures("quiet")


def counted(storage):
    """Return a list that grows by one with each write."""
    writes = []
    if isinstance(storage, Journal):
        locked = storage.file.locked  # each write takes the lock once
        storage.file.locked = lambda: (writes.append(1), locked())[1]
    else:
        sqlalchemy.event.listen(storage.engine, "commit", writes.append)
    return writes


@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql"])
def test_attributes_are_one_write(kind, tmp_path, request):
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    else:
        url = f"{kind}:///{tmp_path / 'study.file'}"
    plan = dataclasses.replace(make_plan(tmp_path, search={"sampler": "random"}), storage_url=url)
    storage = open_storage(url, create=True)
    cost, left = [], []
    with open_search(plan, storage) as book:
        writes = counted(storage)
        for size in (1, 30, 30):
            task = book.ask()
            before = len(writes)
            left.append({f"a{k}": k / 3 for k in range(size)})
            book.finish(task, Outcome(metrics={"val_accuracy": 0.5}, attributes=left[-1]))
            cost.append(len(writes) - before)
        assert cost[0] == cost[1] == cost[2]
        assert [record.attributes for record in book.records()[:3]] == left
        assert whole_trials(book.study)[1].user_attrs["a7"] == 7 / 3
    close_storage(storage)
