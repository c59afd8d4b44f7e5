"""What is a user's own: found by file, in the project's folders, by entry points; refused twice."""

import os
import sys

import pytest

from mnist_core import losses, models, optim, plugins
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.errors import ConfigError
from mnist_core.files import from_here
from mnist_core.plugins import python_files, syntax
from mnist_core.tasks import class_metrics

MODEL = "from torch import nn\ndef build(config, n_classes): return nn.Flatten()\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project's folder; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.setenv(plugins.VARIABLE, str(folder))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def refusal(*words, call=plugins.find):
    with pytest.raises(ConfigError) as error:
        call(*words)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("STUDY = 1", {"STUDY"}),
        ("STUDY: int = 1", {"STUDY"}),
        ("from a.b import build", {"build"}),
        ("from x import y as build", {"build"}),
        ("import a.b", {"a"}),
        ("if 1:\n  def build(): ...\nelse:\n  class Other: STUDY = 1", {"build", "Other"}),
        ("try:\n  import x\nexcept ImportError as error:\n  x = None", {"x"}),
        ("a, [b, *c] = 1, (2, 3)", {"a", "b", "c"}),
        ("def f():\n  STUDY = 1", {"f"}),
        ("f(lambda STUDY: 1)\nx.build = 3", set()),
        ("with open('x') as build: ...", {"build"}),
    ],
)
def test_what_a_file_defines_is_read_without_running_it(tmp_path, text, names):
    file = tmp_path / "one.py"
    file.write_text(text)
    assert syntax.defined(syntax.parse(file)) == names


def test_a_file_is_found_by_name_and_by_path(project, monkeypatch):
    (project / "wide.py").write_text(MODEL)
    (project / "other.py").write_text("x = 1")
    (project / "_hidden.py").write_text(MODEL)
    assert plugins.names("models", ["net"]) == ["net", "wide"]
    assert plugins.find("models", "net", ["net"]) is None
    monkeypatch.chdir(project.parent)
    for name in ("wide", "./wide.py", "wide.py", "my project/wide.py", str(project / "wide.py")):
        found = plugins.find("models", name, ["net"])
        assert (found.name, found.file) == ("wide", project / "wide.py")
    assert models.resolve(ModelConfig(name="./wide.py")).name == "wide"
    assert "wide" in refusal("models", "wid", ["net"])
    for other in ("other", "_hidden", "gone.py"):
        refusal("models", other, ["net"])
    assert "build" in refusal("models", "other.py")


def test_no_code_outside_the_projects_folders_is_run(project, tmp_path, monkeypatch):
    (tmp_path / "wide.py").write_text("raise SystemExit(3)\n" + MODEL)
    (project / "inner").mkdir()
    (project / "inner/wide.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    for path in ("wide.py", str(tmp_path / "wide.py"), "../wide.py", "inner/wide.py"):
        assert "project" in refusal("models", path)
    assert plugins.names("models") == []


def test_names_that_two_places_have_are_refused_with_both(project, tmp_path, monkeypatch):
    (project / "net.py").write_text(MODEL)
    said = refusal("models", "net", ["net"])
    assert "mnist_core/models" in said and "net.py" in said
    assert refusal(ModelConfig(name="net"), call=models.resolve) == said
    second = tmp_path / "second"
    second.mkdir()
    (second / "net.py").write_text(MODEL)
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join([str(project), str(second)]))
    said = refusal("models", "net")
    assert str(project / "net.py") in said and str(second / "net.py") in said


def test_a_broken_file_breaks_only_itself(project):
    (project / "wide.py").write_text(MODEL)
    (project / "wrong.py").write_text("x = 1\ndef build(:")
    assert plugins.names("models") == ["wide"]
    assert "wrong.py, line 2: SyntaxError" in refusal("models", "wrong")
    (line,) = plugins.broken()
    assert "wrong.py, line 2: SyntaxError" in line


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("my-good", "my_good"),
        ("my good", "my_good"),
        ("2fast", "my_2fast"),
        ("größer-als", "größer_als"),
        ("-", "my_"),
        ("_mine", "mine"),
    ],
)
def test_a_name_that_no_module_can_have_says_so_first(project, name, better):
    file = project / f"{name}.py"
    file.write_text(MODEL)
    by_path = refusal("models", str(file))
    assert by_path.startswith(f"model.name: {from_here(file)}: a ")
    assert by_path.endswith(f" to {better}.py")
    if not name.startswith("_"):
        assert refusal("models", name) == by_path
        assert refusal(file, call=python_files.load) == by_path.removeprefix("model.name: ")


@pytest.mark.parametrize("name", ["größe", "模型", "été_2", "match"])
def test_names_of_other_alphabets_are_found(project, name):
    (project / f"{name}.py").write_text(MODEL)
    for given in (name, f"./{name}.py"):
        assert plugins.find("models", given).load().build


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nimport no_such_module_here", "line 2: ModuleNotFoundError"),
        ("def f():\n    1 / 0\nf()", "line 2: ZeroDivisionError"),
        ("raise SystemExit('a\\nb')", "line 1: SystemExit: a b"),
        ("from . import x", "line 1: ImportError: "),
        ("import other_half", "line 1: ImportError: "),
    ],
)
def test_an_import_that_fails_is_one_line_with_its_place(project, text, said):
    (project / "wrong.py").write_text(f"{text}\n{MODEL}")
    (project / "other_half.py").write_text("from wrong import build")
    message = refusal(plugins.find("models", "wrong").file, call=python_files.load)
    assert f"wrong.py, {said}" in message
    assert "wrong" not in sys.modules


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import nosuchmodule", "line 1: the module nosuchmodule"),
        ("import os, json\n\nfrom nosuch.part import x", "line 3: the module nosuch.part"),
        ("import os\nimport beside", "is not a model"),
        ("from . import nosuchmodule", "is not a model"),
    ],
)
def test_an_import_that_would_fail_is_named_before_what_is_missing(project, text, line):
    (project / "half.py").write_text(text)
    (project / "beside.py").touch()
    assert line in refusal("models", "./half.py")
    by_name = "does not define build" if line == "is not a model" else line
    assert by_name in refusal("models", "half")


def test_a_model_that_raises_names_its_line(project):
    (project / "wrong.py").write_text("def build(config, n_classes):\n    return 1 / 0\n")
    said = refusal(ModelConfig(name="wrong"), 10, call=models.build)
    assert "wrong.py, line 2: ZeroDivisionError" in said


def test_neighbours_can_be_imported_and_a_changed_file_is_read_again(project):
    (project / "mine_layers.py").write_text("WIDTH = 3")
    file = project / "mine_model.py"
    file.write_text("from mine_layers import WIDTH\n")
    module = python_files.load(file)
    assert module.WIDTH == 3 and python_files.load(file) is module
    assert sys.modules["mine_model"] is module and sys.path[-1] == str(project)
    file.write_text("WIDTH = 45\n")
    assert python_files.load(file).WIDTH == 45


def test_a_name_that_cannot_be_imported_and_a_folder_are_said(project):
    (project / "my model.py").write_text(MODEL)
    (project / "größe.py").write_text(MODEL)
    (project / "pack").mkdir()
    (project / "pack/__init__.py").write_text(MODEL)
    assert plugins.names("models") == ["größe"]
    assert "my model.py" in refusal("models", "my model")
    assert "my model.py" in refusal("models", "my model.py")
    assert "pack.py" in refusal("models", "pack")
    assert models.build(ModelConfig(name="größe"), 10) is not None


def test_what_is_missing_is_looked_for_in_the_folders_above(project, tmp_path, monkeypatch):
    checkpoint = project / "results/runs/a.safetensors"
    monkeypatch.setenv(plugins.VARIABLE, "")
    assert plugins.VARIABLE in refusal("models", "wide", ["net"])
    assert plugins.VARIABLE in plugins.missing("models", "wide", near=checkpoint)
    (project / "wide.py").write_text("1 / 0\n" + MODEL)
    assert str(project) in plugins.missing("models", "wide", near=checkpoint)
    assert plugins.folders() == []
    (project / "wide.py").unlink()
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv(plugins.VARIABLE, str(elsewhere))
    assert f"looked in {elsewhere}" in plugins.missing("models", "wide", near=checkpoint)
    monkeypatch.setenv(plugins.VARIABLE, str(project))
    assert f"was wide.py in {project}" in plugins.missing("models", "wide", near=checkpoint)


@pytest.mark.parametrize("name", ["random", "yaml_like-this", "pytest"])
def test_a_file_that_import_would_not_find_is_refused(project, name):
    (project / f"{name}.py").write_text(MODEL)
    refusal(project / f"{name}.py", call=python_files.load)


def test_two_projects_in_one_process_have_files_of_one_name(project, tmp_path, monkeypatch):
    second = tmp_path / "second"
    second.mkdir()
    (project / "mine.py").write_text("X = 1\n")
    (second / "mine.py").write_text("X = 2\n")
    assert python_files.load(project / "mine.py").X == 1
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(project)])
    assert python_files.load(second / "mine.py").X == 2


def test_the_project_is_the_one_of_conf_toml_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "/inherited")
    plugins.open_project()
    assert os.environ[plugins.VARIABLE] == "/inherited"
    (tmp_path / "lib").mkdir()
    (tmp_path / "conf.toml").write_text('[project]\npath = [".", "lib"]\n')
    plugins.open_project()
    assert plugins.folders() == [tmp_path, tmp_path / "lib"]
    for wrong in ('path = "."', 'path = ["gone"]', "path = [1]", "paths = []"):
        (tmp_path / "conf.toml").write_text(f"[project]\n{wrong}\n")
        assert "path" in refusal(call=plugins.open_project)
    (tmp_path / "conf.toml").write_text("project = 3\n")
    refusal(call=plugins.open_project)
    (tmp_path / "conf.toml").write_text("not toml")
    plugins.open_project()


def test_a_file_that_a_person_names_brings_its_folder(project, tmp_path):
    (tmp_path / "my_study.py").write_text("STUDY = 1")
    assert plugins.add_file(str(tmp_path / "x/../my_study.py")) == tmp_path / "my_study.py"
    assert plugins.folders() == [project, tmp_path]
    assert plugins.names("studies") == ["my_study"]
    refusal(str(tmp_path / "gone.py"), call=plugins.add_file)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the package ``their_models`` with the models of ``entry_points``."""

    def install(entries, group="mnist_core.models"):
        site = tmp_path / "site"
        info = site / "their_models-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        package = site / "their_models"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "layers.py").write_text("X = 1")
        (package / "wide.py").write_text("import torch\nfrom . import layers\n" + MODEL)
        monkeypatch.syspath_prepend(site)

    return install


def test_an_installed_package_brings_models_by_entry_points(project, installed):
    installed("theirs = their_models.wide\nlost = their_models.gone")
    assert plugins.names("models", ["net"]) == ["lost", "net", "theirs"]
    found = plugins.find("models", "theirs")
    assert "their-models" in found.where and callable(found.load().build)
    assert models.build(ModelConfig(name="theirs"), 10) is not None
    assert sorted(found.sources()) == [
        "their_models/__init__.py", "their_models/layers.py", "their_models/wide.py",
    ]  # fmt: skip
    said = refusal(call=plugins.find("models", "lost").load)
    assert "their-models" in said and "ModuleNotFoundError" in said
    (project / "theirs.py").write_text(MODEL)
    said = refusal("models", "theirs")
    assert "their-models" in said and "theirs.py" in said


def test_optimizers_losses_and_metrics_are_files_too(project):
    (project / "lion_like.py").write_text(
        "from mnist_core.optim import Optimizer\n"
        'OPTIMIZER = Optimizer("torch.optim:Adamax", {"lr": 2e-3})\n'
    )
    (project / "hinge.py").write_text(
        "from torch.nn import functional\nfrom mnist_core.losses import CLASSIFICATION, Loss\n"
        "LOSS = Loss(CLASSIFICATION, lambda x, of, _, s: functional.multi_margin_loss(x, of))\n"
    )
    (project / "worst_recall.py").write_text(
        "def METRIC(confusion):\n"
        "    return (confusion.diag() / confusion.sum(dim=1)).min().item()\n"
    )
    (project / "bad_loss.py").write_text("LOSS = 3\n")
    config = TrainConfig.from_mapping(
        {"optim": {"name": "lion_like"}, "loss": {"name": "hinge"}}, source="test"
    )
    assert optim.resolve(config.optim).lr == 2e-3
    assert losses.names(losses.CLASSIFICATION) == ["cross_entropy", "focal", "hinge"]
    assert losses.of(config.loss, losses.CLASSIFICATION).task == losses.CLASSIFICATION
    assert "worst_recall" in class_metrics.all_figures()
    assert "bad_loss.py" in refusal("bad_loss", call=losses.loss)
    for name, call in (("lion", optim.optimizer), ("hing", losses.loss)):
        assert name in refusal(name, call=call)
    (project / "adam.py").write_text("OPTIMIZER = 1\n")
    assert "adam.py" in refusal(optim.OptimConfig(name="adam"), call=optim.resolve)
