"""Where a private part of Optuna is not as expected, the study runs by the public way."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from toy import Toy
from toy_trail import plan_at, quiet, reference, run, trail  # noqa: F401

from studies.storage import copying
from studies.storage import optuna_internals as internals
from studies.storage.contents import difference, read_content
from studies.storage.copying import CopyError, copy_study, write_studies
from studies.storage.open import close_storage, open_storage

pytestmark = pytest.mark.usefixtures("quiet")
CHECKS = ("identities_known", "drafts_known", "tables_known")


class Hidden:
    """An attribute that only Optuna's own code can read."""

    def __init__(self, name):
        self.name = name

    def __get__(self, one, owner=None):
        if one is None or sys._getframe(1).f_globals["__name__"].startswith("studies."):
            raise AttributeError(self.name)
        return one.__dict__[self.name]

    def __set__(self, one, value):
        one.__dict__[self.name] = value


def hide_identities(patch):
    for kind, name in (
        (optuna.Study, "_storage"),
        (optuna.Study, "_study_id"),
        (optuna.trial.FrozenTrial, "_trial_id"),
        (optuna.storages._CachedStorage, "_backend"),
    ):
        patch.setattr(kind, name, Hidden(name), raising=False)


def hide_drafts(patch):
    real = optuna.Trial.__init__

    def stored_ones_only(self, study, trial_id):
        if trial_id < 0:
            raise TypeError("Trial() takes trials of a storage only")
        real(self, study, trial_id)

    patch.setattr(optuna.Trial, "__init__", stored_ones_only)


def hide_tables(patch):
    def gone():
        raise ImportError("no module named optuna.storages._rdb")

    patch.setattr(internals, "tables", gone)
    for module in ("sql", "sql_writing", "postgres"):
        patch.setattr(f"studies.storage.{module}.tables", gone)


HIDE = dict(zip(CHECKS, (hide_identities, hide_drafts, hide_tables), strict=True))


@pytest.fixture
def hidden():
    """Hide a private part while a block runs."""

    def forget():
        for check in CHECKS:
            getattr(internals, check).cache_clear()

    with pytest.MonkeyPatch.context() as patch:

        def hide(check):
            forget()
            HIDE[check](patch)
            return patch

        yield hide
    forget()


def test_optuna_is_as_expected(caplog):
    for check in CHECKS:
        getattr(internals, check).cache_clear()
        assert getattr(internals, check)()
    assert not caplog.records


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
@pytest.mark.parametrize("check", CHECKS)
def test_the_same_trials_by_the_public_way(check, kind, hidden, tmp_path, reference, caplog):  # noqa: F811
    plan = plan_at(tmp_path, f"{kind}:///{tmp_path / 'toy' / 'study.file'}")
    patch = hidden(check)
    run(plan, Toy())
    if (check, kind) != ("tables_known", "journal"):  # a journal has none
        assert not getattr(internals, check)()
        said = [one for one in caplog.messages if "not as expected" in one]
        assert len(said) == len(set(said)) >= 1
    patch.undo()
    assert trail(plan.storage_url) == reference


class Killed(BaseException):
    """The supervisor dies."""


def test_a_kill_while_a_trial_begins_by_the_public_way(hidden, tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path)
    patch = hidden("drafts_known")
    ask = optuna.Study.ask

    def killed_at_the_third(study):
        if len(study.trials) == 3:
            raise Killed
        return ask(study)

    with pytest.MonkeyPatch.context() as death, pytest.raises(Killed):
        death.setattr(optuna.Study, "ask", killed_at_the_third)
        run(plan, Toy())
    run(plan, Toy())
    patch.undo()
    assert trail(plan.storage_url) == reference


def test_copies_by_the_public_way(hidden, tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path)
    run(plan, Toy())
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    patch = hidden("tables_known")
    copy_study("toy", source=plan.storage_url, target=target)
    patch.undo()
    assert trail(target) == reference


@pytest.mark.parametrize("check", [None, "tables_known"])
def test_studies_get_other_names_or_all_stays(check, hidden, tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path)
    run(plan, Toy())
    storage = open_storage(plan.storage_url, create=False)
    search, confirm = (read_content(storage, name) for name in ("toy", "toy.confirm"))
    patch = hidden(check) if check else None
    with pytest.raises(CopyError):  # one of that name is there
        write_studies([confirm], plan.storage_url, renamed={"toy": "aside"})
    with pytest.raises(CopyError), pytest.MonkeyPatch.context() as wrong:
        wrong.setattr(copying, "check_same", lambda *_: (_ for _ in ()).throw(CopyError("other")))
        write_studies([replace(confirm, name="toy")], plan.storage_url, renamed={"toy": "aside"})
    assert set(optuna.get_all_study_names(storage)) == {"toy", "toy.confirm"}
    assert difference(read_content(storage, "toy"), search) == ""
    write_studies([replace(confirm, name="toy")], plan.storage_url, renamed={"toy": "aside"})
    if patch:
        patch.undo()
    assert difference(replace(search, name="aside"), read_content(storage, "aside")) == ""
    assert difference(replace(confirm, name="toy"), read_content(storage, "toy")) == ""
    close_storage(storage)


PRIVATE = re.compile(
    r"\b(optuna|optuna_dashboard)[\w.]*\._[a-z]|study\)?\._(storage|study_id|get_trials)"
    r"|\._(trial_id|study_id|backend|fixed_params|replay_result|get_latest_trial|thread_lock)\b"
    r"|\b_(get_trials|create_new_trial|set_trial_param|get_prepared_new_trial)\b"
)


def test_no_other_module_uses_a_private_part():
    root = Path(internals.__file__).parents[1]
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in sorted(root.rglob("*.py"))
        if path != Path(internals.__file__)
        for line in path.read_text().splitlines()
        if PRIVATE.search(line.replace("optuna.__version__", ""))
    ]
    assert found == []
