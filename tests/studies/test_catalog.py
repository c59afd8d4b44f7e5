"""The catalog: discovery by module, and what must hold for every study in it."""

import sys
from pathlib import Path

import pytest

from mnist_core.errors import ConfigError
from mnist_core.optim import OPTIMIZERS as ALL
from search_spaces.space import Choice
from studies import catalog
from studies.planning.plan import resolve


@pytest.fixture
def catalog_file(tmp_path, monkeypatch):
    """Put a file into the catalog for one test."""
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(tmp_path)])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"studies.catalog.{name}", raising=False)

    yield write
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"studies.catalog.{file.stem}", None)


@pytest.mark.parametrize("name", catalog.names())
@pytest.mark.parametrize("quick", [False, True])
def test_every_study_resolves(name, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = resolve(name, sets={"device": "cpu"}, quick=quick)
    spec = plan.spec
    assert spec.name == name
    assert spec.goal.endswith("?")
    if not quick:
        assert plan.trials >= len(spec.choices) * plan.trials_per_choice
    for choice in spec.choices:
        plan.config_for(spec.default_of(choice), seed=0)
    if not quick:
        assert plan.trials_per_choice == spec.trials_per_choice


def test_names_are_the_files():
    assert "optim_search" in catalog.names()
    assert catalog.names() == tuple(sorted(catalog.names()))


def test_names_do_not_import_the_studies():
    sys.modules.pop("studies.catalog.optim_search", None)
    catalog.names()
    assert "studies.catalog.optim_search" not in sys.modules


def test_a_study_file_of_no_project_is_named_by_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        catalog.get("mine_alone")
    assert "./my_study.py" in str(error.value) and len(str(error.value)) < 160
    Path("mine_alone.py").write_text("STUDY = None\n")
    with pytest.raises(ConfigError) as error:
        catalog.get("mine_alone")
    assert "./mine_alone.py" in str(error.value) and len(str(error.value)) < 160


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ConfigError) as error:
        catalog.get("optim_serch")
    assert "unknown study 'optim_serch'; did you mean 'optim_search'? (valid: " in str(error.value)
    for name in ("", ".", "..", "__init__", "studies.catalog.optim_search"):
        with pytest.raises(ConfigError, match="unknown study"):
            catalog.get(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 +", "studies/catalog/broken.py: SyntaxError: "),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('a\\nb')", "studies/catalog/broken.py: ValueError: a b"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "broken.py: must define STUDY, a StudySpec, but got None"),
        ("STUDY = 3", "must define STUDY, a StudySpec, but got 3"),
        ("from studies.catalog.optim_search import STUDY", "STUDY.name must be the file's name"),
    ],
)
def test_a_broken_file_breaks_only_itself(catalog_file, text, says):
    catalog_file("broken", text)
    assert {"broken", "optim_search"} <= set(catalog.names())
    assert catalog.get("optim_search").name == "optim_search"
    with pytest.raises(ConfigError) as error:
        catalog.get("broken")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_files_with_an_underscore_are_no_studies(catalog_file):
    catalog_file("_shared", "")
    assert "_shared" not in catalog.names()


OPTIMIZERS = tuple(name for name in ALL if name != "muon")
"""What optim_search compares; muon came later, and is two optimizers in one."""


def test_optim_search_compares_the_optimizers_of_the_trainer():
    spec = catalog.get("optim_search")
    assert set(spec.choices) == set(OPTIMIZERS)
    for choice in spec.choices:
        active = spec.space.active({"optim.name": choice})
        assert f"{choice}.lr" in active
        # Few enough to be searched in a handful of trials.
        assert len(active) <= 5


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optim_search_defaults_are_those_of_torch(name):
    import inspect

    import torch

    spec = catalog.get("optim_search")
    settings = spec.space.settings(spec.default_of(name))
    classes = {"sgd": "SGD", "momentum": "SGD", "nesterov": "SGD", "adam": "Adam"}
    classes |= {"adamw": "AdamW", "nadam": "NAdam", "rmsprop": "RMSprop"}
    classes |= {"adadelta": "Adadelta", "adagrad": "Adagrad"}
    torch_default = {
        key: parameter.default
        for key, parameter in inspect.signature(
            getattr(torch.optim, classes[name]).__init__
        ).parameters.items()
    }
    assert settings["optim.lr"] == torch_default["lr"]
    assert settings["optim.weight_decay"] == torch_default["weight_decay"]
    assert settings["schedule.name"] == "constant"
    if "optim.beta1" in settings:
        assert settings["optim.beta1"] == torch_default["betas"][0]
    if "optim.alpha" in settings:
        assert settings["optim.alpha"] == torch_default["alpha"]
    if "optim.rho" in settings:
        assert settings["optim.rho"] == torch_default["rho"]
    if "optim.momentum" in settings:
        assert settings["optim.momentum"] == 0.9


def test_optim_search_defaults_lie_off_the_bounds():
    spec = catalog.get("optim_search")
    on_a_bound = {
        name
        for choice in spec.choices
        for name, value in spec.default_of(choice).items()
        if not isinstance(p := spec.space.parameters[name], Choice) and value in (p.low, p.high)
    }
    # torch's SGD default is far too small here; no range is wasted on what lies below it.
    assert on_a_bound == {"sgd.lr", "momentum.lr", "nesterov.lr"}
