"""A user's own code that raises in a training: one line with its file, its line, the error."""

import sys

import pytest
from small_data import of_small_data, small_data

from mnist_core import losses, plugins
from mnist_core.__main__ import main
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from mnist_core.tasks import class_metrics
from objectives.base import Task, TrainingError
from objectives.classification import Classification
from objectives.trainer.preflight import prepare
from search_spaces.space import Float, Space

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
    for name in ("late_model", "bad_build", "odd", "odd_steps"):
        sys.modules.pop(name, None)


def train(monkeypatch, capsys, *words):
    monkeypatch.setattr(
        sys, "argv", ["mnist-core", "train", "--epochs", "1", *of_small_data(), *words]
    )
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


LOSS = """
from torch.nn import functional

from mnist_core.losses import Loss

calls = []


def compute(logits, labels, settings, smoothing):
    calls.append(1)
    if len(calls) > {after}:
        {fault}
    return functional.cross_entropy(logits, labels)


LOSS = Loss("classification", compute)
"""


@pytest.mark.parametrize("after", [0, 5])
def test_a_loss_that_raises(project, monkeypatch, capsys, after):
    (project / "odd.py").write_text(LOSS.format(after=after, fault="raise KeyError('a table')"))
    line = train(monkeypatch, capsys, "--set", "loss.name=odd", "--device", "cpu")
    assert "odd.py, line 12: KeyError: 'a table'" in line


@pytest.mark.parametrize("fault", ["return 3.5", "return logits"])
def test_a_loss_that_returns_something_else(project, monkeypatch, capsys, fault):
    (project / "odd.py").write_text(LOSS.format(after=0, fault=fault))
    line = train(monkeypatch, capsys, "--set", "loss.name=odd", "--device", "cpu")
    assert "loss.name: 'odd'" in line


METRIC = """
def METRIC(confusion):
    {fault}
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("return 1 / 0", "odd.py, line 3: ZeroDivisionError"),
        ("return None", "metric odd: "),
        ("return confusion", "metric odd: "),
    ],
)
def test_a_metric_that_raises_or_gives_no_number(project, monkeypatch, capsys, fault, said):
    (project / "odd.py").write_text(METRIC.format(fault=fault))
    assert said in train(monkeypatch, capsys, "--model", "net", "--device", "cpu")


OPTIMIZER = """
from mnist_core.optim import Optimizer

OPTIMIZER = Optimizer("{path}", {{"lr": 1e-3}})
"""
STEPS = """
import torch


class Odd(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        raise KeyError("a table")


class Other(torch.optim.SGD):
    def __init__(self, params):
        super().__init__(params)


class Strict(torch.optim.SGD):
    def __init__(self, params, lr):
        raise LookupError("a table")


thing = 3
"""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("odd_steps:Odd", "odd_steps.py, line 8: KeyError: 'a table'"),
        ("odd_steps:Other", "'odd' (odd_steps:Other): TypeError"),
        ("odd_steps:Strict", "odd_steps.py, line 18: LookupError: a table"),
        ("odd_steps:Missing", "'odd' (odd_steps:Missing): AttributeError"),
        ("odd_steps:thing", "'odd' (odd_steps:thing)"),
        ("no_such_module:Odd", "'odd' (no_such_module:Odd): ModuleNotFoundError"),
    ],
)
def test_an_optimizer_that_raises(project, monkeypatch, capsys, path, said):
    (project / "odd.py").write_text(OPTIMIZER.format(path=path))
    (project / "odd_steps.py").write_text(STEPS)
    words = ("--model", "net", "--set", "optim.name=odd", "--device", "cpu")
    assert said in train(monkeypatch, capsys, *words)


@pytest.mark.parametrize(
    ("table", "of", "name"),
    [(losses.LOSSES, "loss", "mine"), (class_metrics.FIGURES, "metric", "mine")],
)
def test_an_entry_of_a_table_that_raises(monkeypatch, capsys, tmp_path, table, of, name):
    monkeypatch.chdir(tmp_path)

    def broken(*given):
        raise KeyError("a table")

    monkeypatch.setitem(
        table, name, losses.Loss("classification", broken) if of == "loss" else broken
    )
    words = ("--set", f"loss.name={name}") if of == "loss" else ()
    line = train(monkeypatch, capsys, "--model", "net", "--device", "cpu", *words)
    assert "KeyError: 'a table'" in line and of in line


def test_a_trial_says_where_its_own_code_raised(project):
    (project / "odd.py").write_text(LOSS.format(after=3, fault="raise KeyError('a table')"))
    base = TrainConfig().override(
        {
            "data.name": "folder",
            "data.root": str(small_data()),
            "model.name": "net",
            "loss.name": "odd",
            "batch_size": 64,
            "device": "cpu",
        }
    )
    objective = Classification(base, Space({"optim.lr": Float(1e-4, 1e-1, log=True)}))
    with pytest.raises(TrainingError, match=r"odd.py, line 12: KeyError") as failure:
        objective(Task(number=0, params={"optim.lr": 1e-3}, seed=0), lambda step, metrics: None)
    assert failure.value.kind == "KeyError"


@pytest.mark.parametrize("name", ["Odd", "Missing"])
def test_a_study_says_so_before_its_first_trial(project, name):
    (project / "odd.py").write_text(OPTIMIZER.format(path=f"odd_steps:{name}"))
    (project / "odd_steps.py").write_text(STEPS)
    settings = {"data.name": "folder", "data.root": str(small_data()), "model.name": "net"}
    base = TrainConfig().override({**settings, "device": "cpu"})
    with pytest.raises(ConfigError, match="odd"):
        prepare([base.override({"optim.name": "odd"})], [base])
