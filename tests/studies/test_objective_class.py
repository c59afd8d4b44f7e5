"""A user's own objective, model or study that is wrong: one line before any worker starts."""

import dataclasses
import importlib
import sys

import pytest
from toy import SPEC, make_plan
from typer.testing import CliRunner

import mnist_core
import objectives
from mnist_core import models, plugins
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.errors import ConfigError
from objectives import kinds
from objectives.modules import names, objective_class
from studies import engines, run
from studies.cli import options
from studies.planning.objective_checks import check_objective

WIDE = TrainConfig(model=ModelConfig(name="wide"))
RIGHT = """
class Mine:
    def __init__(self, base, space, keep_models=None, states=None, state_seconds=60.0):
        self.base = base

    def __call__(self, task, report):
        return 1
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the module ``objectives/mine.py`` of a user."""
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])

    def write(text, name="mine"):
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop(f"objectives.{name}", None)

    yield write
    sys.modules.pop("objectives.mine", None)


WRONG = {
    "gone": (None, "unknown objective 'mine'"),
    "named otherwise": (RIGHT.replace("Mine", "Other"), "a class Mine (by the file's name), but o"),
    "nothing": ("", "but nothing of its own"),
    "a function": ("def Mine(task, report): ...", "must be a class, but is a function"),
    "a value": ("Mine = 3", "must be a class, but is a int"),
    "not called": (RIGHT.replace("__call__", "call"), "has no __call__"),
    "called otherwise": (RIGHT.replace("(self, task, report)", "(self, task)"), "Mine.__call__"),
    "made otherwise": (RIGHT.replace("space, ", ""), "must take the keywords base, space"),
    "no Python": ("class Mine(:", "objectives/mine.py: SyntaxError: "),
    "not imported": ("import no_such_module", "ModuleNotFoundError"),
    "raises": ("raise ValueError('a\\nb')", "objectives/mine.py: ValueError: a b"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_objective_is_one_line_before_workers_start(own, monkeypatch, tmp_path, kind):
    text, said = WRONG[kind]
    if text is not None:
        own(text)
    plan = make_plan(tmp_path)
    plan = dataclasses.replace(plan, spec=dataclasses.replace(SPEC, objective="mine"))
    monkeypatch.setattr(options.Chosen, "resolve", lambda *args, **options: plan)
    monkeypatch.setattr(engines, "create", None)
    error = CliRunner().invoke(run.app, ["toy"]).exception
    assert isinstance(error, ConfigError)
    assert said in str(error) and "\n" not in str(error)


def test_a_right_one_is_taken_and_cannot_be_measured(own, tmp_path):
    own(RIGHT)
    assert objective_class("mine").__name__ == "Mine"
    assert set(names()) == {"classification", "mine", "pairs"}
    plan = make_plan(tmp_path, search={"objectives": {"parameters": "minimize"}})
    check_objective(plan.spec.objective, plan.goals)
    plan = dataclasses.replace(plan, spec=dataclasses.replace(SPEC, objective="mine"))
    with pytest.raises(ConfigError, match=r"search\.objectives"):
        check_objective(plan.spec.objective, plan.goals)


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Write the module ``mnist_core/models/wide.py`` of a user."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(mnist_core, "__path__", [*mnist_core.__path__, str(tmp_path)])
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])

    def write(text):
        (folder / "wide.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("mnist_core.models.wide", None)

    yield write
    sys.modules.pop("mnist_core.models.wide", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def build(:", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "must hold a function build"),
        ("build = 3", "must hold a function build"),
    ],
)
def test_a_model_that_cannot_be_imported_is_one_line(own_model, text, said):
    own_model(text)
    for call in (models.resolve, models.task, lambda config: models.build(config, 10)):
        with pytest.raises(ConfigError) as error:
            call(ModelConfig(name="wide"))
        message = str(error.value)
        assert message.startswith("mnist_core/models/wide.py: ") and said in message


def spec_of(**fields):
    return dataclasses.replace(SPEC, **fields)


def adapter_of(spec, settings=WIDE):
    return kinds.adapter(spec.objective, settings, spec.space)


def check_code(spec):
    adapter_of(spec).check_code(spec.fixed)


def hashes(spec, settings=WIDE):
    return adapter_of(spec, settings).code(spec.metric)


def test_a_study_with_a_model_that_is_not_python_is_known_without_torch(own_model):
    own_model("def build(:")
    with pytest.raises(ConfigError, match=r"mnist_core/models/wide\.py, line 1: SyntaxError"):
        check_code(spec_of(fixed={"model.name": "wide"}))
    with pytest.raises(ConfigError, match="'wid'"):
        check_code(spec_of(fixed={"model.name": "wid"}))
    check_code(SPEC)


def test_the_list_marks_what_cannot_run(own, tmp_path, monkeypatch, capsys):
    from studies import catalog
    from studies.analysis.found_studies import catalog_studies
    from studies.report import study_list

    broken = {"gone": spec_of(name="gone", objective="nowhere"), "fine": spec_of(name="fine")}
    broken["lost"] = spec_of(name="lost", fixed={"model.name": "nett"})
    monkeypatch.setattr(catalog, "names", lambda: tuple(broken))
    monkeypatch.setattr(catalog, "get", broken.__getitem__)
    study_list.print_studies(catalog_studies(), tmp_path, [])
    printed = " ".join(capsys.readouterr().out.split())
    assert "unknown objective 'nowhere'" in printed and "unknown model 'nett'" in printed
    assert printed.count(SPEC.goal) == 1


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder; files of a user are written to it."""
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.setenv(plugins.VARIABLE, str(folder))
    return folder


def test_a_hash_is_of_what_python_makes_of_the_file(project):
    (project / "mine.py").write_text(RIGHT)
    (project / "wide.py").write_text("import layers\ndef build(config, n_classes): ...")
    (project / "layers.py").write_text("WIDTH = 3")
    spec = spec_of(objective="mine")
    first = hashes(spec)
    assert sorted(first) == ["layers.py", "mine.py", "wide.py"]
    (project / "mine.py").write_text("# a comment\n" + RIGHT.replace("return 1", "return (1)"))
    assert hashes(spec) == first
    (project / "mine.py").write_text(RIGHT.replace("return 1", "return 2"))
    second = hashes(spec)
    assert {name for name in first if first[name] != second[name]} == {"mine.py"}
    assert hashes(SPEC, TrainConfig()) == {}


def test_code_of_this_package_has_no_hash(own, own_model):
    own(RIGHT)
    own_model("def build(config, n_classes): ...")
    assert hashes(spec_of(objective="mine")) == {}
