"""A user's own code that raises in a training: one line with its file, its line, the error."""

import sys

import pytest

from mnist_core import plugins
from mnist_core.__main__ import main

LATE = """
from torch import nn


class Late(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layer, self.calls = nn.Linear(784, n_classes), 0

    def forward(self, images):
        self.calls += 1
        if self.calls > 5:
            raise KeyError("missing part")
        return self.layer(images.flatten(1))


def build(config, n_classes):
    return Late(n_classes)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("late_model", "bad_build"):
        sys.modules.pop(name, None)


def train(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["mnist-core", "train", "--epochs", "1", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("error: "))
    return line


def test_a_model_that_raises_after_some_steps(project, monkeypatch, capsys):
    (project / "late_model.py").write_text(LATE)
    line = train(monkeypatch, capsys, "--model", "late_model", "--device", "cpu")
    assert "late_model.py, line 13: KeyError: 'missing part'" in line


def test_a_build_that_raises(project, monkeypatch, capsys):
    (project / "bad_build.py").write_text("def build(config, n_classes):\n    return 1 / 0\n")
    line = train(monkeypatch, capsys, "--model", "bad_build", "--device", "cpu")
    assert "bad_build.py, line 2: ZeroDivisionError" in line
