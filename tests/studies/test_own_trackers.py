"""Trackers of the user's own, and studies whose own optimizer or loss is gone."""

import sys

import pytest

from mnist_core import plugins
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from objectives.trainer.adapter import TrainerAdapter
from search_spaces.space import Float, Space
from studies import tracking

LINES = 'PACKAGE = ("json", "")\ndef create(study, place): ...\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with the tracker ``lines_own``."""
    (tmp_path / "lines_own.py").write_text(LINES)
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("lines_own", "odd_own"):
        sys.modules.pop(name, None)


def test_a_tracker_is_named_by_its_name_or_its_file(project):
    given = ["lines_own", "./lines_own.py", "tensorboard", str(project / "lines_own.py")]
    assert tracking.check(given) == ["lines_own", "tensorboard"]
    assert callable(tracking.module("lines_own").create)


@pytest.mark.parametrize(
    "text",
    [
        'PACKAGE = ("json", "")\n',
        "PACKAGE = 3\ndef create(study, place): ...\n",
        'PACKAGE = ("", "")\ndef create(study, place): ...\n',
        'PACKAGE = ("no_such_package_here", "")\ndef create(study, place): ...\n',
        "1 / 0\n" + LINES,
        "x = 1\n",
    ],
)
def test_a_tracker_that_cannot_be_used_is_one_line(project, text):
    (project / "odd_own.py").write_text(text)
    with pytest.raises(ConfigError, match="odd_own") as error:
        tracking.check(["odd_own"], source="--track")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("setting", "kind"), [("optim.name", "OPTIMIZER"), ("loss.name", "LOSS")])
@pytest.mark.parametrize("text", ["", "x = (", "{} = 3\n"])
def test_a_study_is_looked_at_without_its_optimizer_or_loss(project, setting, kind, text):
    if text:
        (project / "odd_own.py").write_text(text.format(kind))
    base = TrainConfig().override({setting: "odd_own"})
    adapter = TrainerAdapter("classification", base, Space({"optim.lr": Float(0.1, 1.0)}))
    assert adapter.shared()[setting] == "odd_own"
    assert adapter.settings_of({"optim.lr": 0.5}, 0, source="test")["optim.lr"] == 0.5
    assert adapter.as_trained({"optim.lr": 0.5}, 0, {})["optim"]["lr"] == 0.5
    with pytest.raises(ConfigError):
        adapter.check([{"optim.lr": 0.5}], source="test")
