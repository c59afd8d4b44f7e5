"""A new kind of storage is one file; a defect of ours is not called a damaged database."""

import pytest
from toy import Toy
from toy_trail import plan_at, quiet, run  # noqa: F401

from studies.core.trials import TrialState
from studies.storage import kinds
from studies.storage.open import (
    StorageError,
    check_url,
    close_storage,
    load_study,
    one_line_garbage,
    open_storage,
    storage_file,
)

pytestmark = pytest.mark.usefixtures("quiet")

NEW_KIND = '''
from pathlib import Path
from studies.storage.kinds import Kind
from studies.storage.kinds.journal import JournalFiles

class Notes(JournalFiles):
    """A journal by another name."""

    example = "notes:///FILE"
    schemes = ("notes:",)
    file_schemes = ("notes:///",)

KIND = Notes()
'''


def test_a_new_kind_is_found_by_its_file(tmp_path, monkeypatch):
    (tmp_path / "notes.py").write_text(NEW_KIND)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    kinds.known.cache_clear()
    try:
        url = f"notes:///{tmp_path / 'log'}"
        storage = open_storage(url, create=True)
        assert storage.url == url and storage_file(url) == tmp_path / "log"
        close_storage(storage)
        with pytest.raises(StorageError, match="notes:///FILE"):
            check_url("oracle://a/b")
    finally:
        kinds.known.cache_clear()


def test_each_kind_says_what_a_url_looks_like():
    for kind in kinds.known().values():
        assert kinds.kind_of(kind.example) is kind
        assert kind.example.startswith(kind.schemes)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_defect_of_ours_is_not_called_damage(tmp_path, kind):
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")
    run(plan, Toy())
    with pytest.raises(KeyError, match="ours"), one_line_garbage(plan.storage_url):
        raise KeyError("ours")
    storage = open_storage(plan.storage_url, create=False)
    load_study("toy", storage).set_user_attr("budget", {"trials": "many"})
    close_storage(storage)
    with pytest.raises(StorageError, match="budget"), one_line_garbage(plan.storage_url):
        raise KeyError("trials")


def test_states():
    assert [state.word for state in TrialState if state.finished] == [
        "complete",
        "pruned",
        "failed",
        "infeasible",
    ]
    assert TrialState.FAIL == "FAIL" and f"{TrialState.FAIL}" == "FAIL"
