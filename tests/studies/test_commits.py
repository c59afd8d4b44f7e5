"""The git commits of the code: recorded with a study, and shown in report and JSON."""

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
from made_search import write_study
from toy import TestSet, Toy, make_plan

from mnist_core.plugins.project import VARIABLE
from studies.analysis import stored_study
from studies.engines.inline import Inline
from studies.planning.commits import commits
from studies.protocol import phases
from studies.protocol.control import Control
from studies.report.page import gather
from studies.report.result_json import result_json

BOTH = {
    "mnist-studies": {"commit": "a" * 40, "changed": False},
    "mine": {"commit": "b" * 40, "changed": True},
}


def git(folder, *words):
    told = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *words]
    done = subprocess.run(told, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def checkout(folder, *files):
    folder.mkdir()
    git(folder, "init", "--quiet")
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A folder with a program that is in no checkout; no project."""
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "plain" / "studies").mkdir(parents=True)
    return tmp_path / "plain"


def test_the_program_and_the_project_have_their_commits(tmp_path, nowhere, monkeypatch):
    program = checkout(tmp_path / "program", "studies/run.py", "README.md")
    project = checkout(tmp_path / "mine", "studies/one.py")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    found = commits(tmp_path / "program")
    assert found == {
        "mnist-studies": {"commit": program, "changed": False},
        "mine": {"commit": project, "changed": False},
    }
    (tmp_path / "program" / "README.md").write_text("other")  # is not code that runs
    (tmp_path / "mine" / "results").mkdir()
    (tmp_path / "mine" / "results" / "study.db").write_text("")
    assert commits(tmp_path / "program") == found
    (tmp_path / "program" / "studies" / "run.py").write_text("x = 2\n")
    (tmp_path / "mine" / "new.py").write_text("x = 2\n")
    assert [one["changed"] for one in commits(tmp_path / "program").values()] == [True, True]


def test_a_project_in_the_programs_checkout_is_the_same_commit(tmp_path, nowhere, monkeypatch):
    commit = checkout(tmp_path / "program", "studies/run.py", "mine/one.py")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "program" / "mine"))
    (tmp_path / "program" / "mine" / "one.py").write_text("x = 2\n")
    assert commits(tmp_path / "program") == {"mnist-studies": {"commit": commit, "changed": True}}


def test_an_installed_package_does_not_take_the_commit_around_it(tmp_path, nowhere, monkeypatch):
    """The environment of a project often lies in its checkout, and git ignores it."""
    checkout(tmp_path / "mine", "one.py")
    (tmp_path / "mine" / ".gitignore").write_text(".venv\n")
    (tmp_path / "mine" / ".venv" / "studies").mkdir(parents=True)
    (tmp_path / "mine" / ".venv" / "studies" / "run.py").write_text("")
    assert commits(tmp_path / "mine" / ".venv") == {}


def test_a_hook_does_not_name_another_checkout(tmp_path, nowhere, monkeypatch):
    checkout(tmp_path / "other", "studies/run.py")
    commit = checkout(tmp_path / "program", "studies/run.py", "more.py")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert commits(tmp_path / "program")["mnist-studies"]["commit"] == commit


def test_without_checkout_git_or_commit_nothing_is_recorded(tmp_path, nowhere, monkeypatch):
    assert commits(nowhere) == {}
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    assert commits(nowhere) == {}
    git(nowhere, "init", "--quiet")
    assert commits(nowhere) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commits() == {}


def test_a_git_that_fails_or_hangs_stops_nothing(tmp_path, nowhere, monkeypatch):
    checkout(tmp_path / "program", "studies/run.py")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True).stdout.strip()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *status*) sleep 5;; *) exec {real} "$@";; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("studies.planning.commits._SECONDS", 0.5)
    assert commits(tmp_path / "program")["mnist-studies"]["changed"] is None
    fake.write_text("#!/bin/sh\necho nonsense\nexit 3\n")
    assert commits(tmp_path / "program") == {}


def test_a_study_records_them_once(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})
    asked = []
    monkeypatch.setattr(phases, "commits", lambda: asked.append(1) or BOTH)
    plan, toy = make_plan(tmp_path), Toy()

    def objective(plan, keep_models):
        toy.keep_models = keep_models
        return toy

    result = phases.run_study(
        plan, Control(Inline()), objective=objective, read_test=TestSet(), listeners=()
    )
    assert len(asked) < 4 < len(toy.ran)  # at most one a round of the confirmation
    assert result_json(result)["code"] == BOTH
    found = stored_study.read(plan)
    assert found.environment["code"] == BOTH
    assert "code" not in found.settings  # what the fingerprint is taken of
    assert found.fingerprint == plan.fingerprint()[0]


def test_the_report_shows_them(tmp_path):
    plan = make_plan(tmp_path)
    write_study(plan, 12)
    found = stored_study.read(plan)
    assert "commit" not in gather(found, quick=True).setup  # run by an earlier version
    known = {**(found.described or {}), "code": BOTH}
    assert found.result
    result = dataclasses.replace(found.result, environment=known)
    found = dataclasses.replace(found, described=known, result=result)
    page = gather(found, quick=True)
    assert f"mnist-studies commit {'a' * 9}, mine commit {'b' * 9} with changes" in page.setup
    said = str(next(one for one in page.sections if one.name == "reproduce"))
    assert "a" * 40 in said and "b" * 40 in said
    assert result_json(result)["code"] == BOTH


def test_this_checkout_has_a_commit():
    root = Path(__file__).parents[2]
    if (root / ".git").exists():
        assert commits()["mnist-studies"]["commit"] == git(root, "rev-parse", "HEAD")
