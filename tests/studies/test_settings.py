"""Settings: where they come from, what wins, and what is said about each mistake."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_core import plugins
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from mnist_core.table import parse_assignment
from studies.planning.layers import combine, make_layer, read_conf
from studies.planning.settings import Settings

ROOT = Path(__file__).parent.parent.parent
OF_THE_PLAN = {"train.seed", "train.threads"}
FREE = {
    "search.sampler_options",
    "search.pruner_options",
    "search.objectives",
    "search.constraints",
}


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Write a conf.toml in an empty working directory and read it."""
    monkeypatch.chdir(tmp_path)

    def read(text, *, encoding="utf-8"):
        Path("conf.toml").write_text(text, encoding=encoding)
        return read_conf(None, studies=["optim_search"])

    return read


def settings_of(*layers):
    return combine(layers)[0]


def error_of(call, *args, **kwargs):
    with pytest.raises(ConfigError) as error:
        call(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_conf_toml_holds_the_defaults():
    read = read_conf(ROOT / "conf.toml", studies=["optim_search"])
    settings, origins = combine([read.general])
    assert settings == Settings()
    assert origins == {}
    assert read.studies == {}


def test_conf_toml_names_every_setting_and_says_what_it_is():
    text = (ROOT / "conf.toml").read_text(encoding="utf-8")
    # A setting without a default is there as a comment: uncomment those, then read the names.
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    tables = tomllib.loads(uncommented)
    assert plugins.project_path(tables, source="conf.toml") == []  # not a setting of a run
    layer = make_layer(tables, source="conf.toml")
    assert set(layer.values) | FREE == set(Settings.setting_names()) - OF_THE_PLAN
    assert all(f"{name.rpartition('.')[2]} = {{}}" in text for name in FREE)
    combine([layer])  # what the comments propose is valid too


def test_the_short_names_are_not_ambiguous():
    assert not set(TrainConfig.model_fields) & set(Settings.model_fields)


def test_nested_dotted_and_short_names_are_the_same(conf):
    for text in (
        "[data]\nname = 'mnist'\n[train]\nepochs = 3\n[train.optim]\nlr = 0.5",
        "[train]\nepochs = 3\ndata.name = 'mnist'\noptim = {lr = 0.5}",
        "epochs = 3\ndata.name = 'mnist'\noptim.lr = 0.5",
        "'train.epochs' = 3\n'data.name' = 'mnist'\n'optim.lr' = 0.5",
    ):
        settings = settings_of(conf(text).general)
        assert settings.train.epochs == 3
        assert settings.train.data.name == "mnist"
        assert settings.train.optim.lr == 0.5


def test_empty_tables_say_nothing(conf):
    text = "[data]\n[train.optim]\n[search]\nsampler_options = {}\n[studies]"
    assert conf(text).general.values == {}


def test_later_layers_win_and_are_named():
    layers = [
        make_layer({"epochs": 2, "batch_size": 32, "search.seed": 0}, source="conf.toml"),
        make_layer({"epochs": 3}, source="spec"),
        make_layer({"train.epochs": 4}, source="--set"),
    ]
    settings, origins = combine(layers)
    assert (settings.train.epochs, settings.train.batch_size) == (4, 32)
    assert origins == {"train.epochs": "--set", "train.batch_size": "conf.toml"}


def test_options_of_the_sampler_are_free_and_merged():
    settings = settings_of(
        make_layer({"search": {"sampler_options": {"n_startup_trials": 5}}}, source="conf.toml"),
        make_layer({"search.sampler_options.multivariate": True}, source="--set"),
    )
    assert settings.search.sampler_options == {"n_startup_trials": 5, "multivariate": True}
    assert Settings().search.sampler_options == {}


def test_tables_of_studies(conf):
    read = conf("[studies.optim_search]\nsearch.trials = 9\n[studies.optim_search.train]\nepochs=2")
    assert read.general.values == {}
    assert read.studies["optim_search"].values == {"search.trials": 9, "train.epochs": 2}
    assert read.studies["optim_search"].source == "conf.toml [studies.optim_search]"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[train]\nepochz = 3", ["'epochz'", "'epochs'"]),
        ("[opt]\nlr = 3", ["'opt.lr'", "'optim.lr'"]),
        ("[train.optim]\nlearning = 3", ["'optim.learning'"]),
        ("[train.optim]\nwieght_decay = 3", ["'optim.weight_decay'", "optim.al"]),
        ("[search]\nworkers = 3", ["'search.workers'", "'engine.workers'"]),
        ("trials = 3", ["'trials'", "'search.trials'"]),
        ("[train]\nepochs = '3'", ["train.epochs", "integer", "'3'"]),
        ("[train]\nepochs = 3.0", ["train.epochs", "integer", "3.0"]),
        ("[train]\nepochs = true", ["train.epochs", "True"]),
        ("[train]\nepochs = 0", ["train.epochs", "1", "0"]),
        ("[train]\nepochs = 1979-05-27", ["train.epochs", "integer"]),
        ("[train]\nepochs = [1, 2]", ["train.epochs", "[1, 2]"]),
        ("epochs = 0", ["conf.toml: epochs"]),
        ("[data]\nname = 3", ["data.name", "string", "3"]),
        ("[train]\ndevice = 'gpu'", ["device", "auto", "cpu", "cuda:N", "'gpu'"]),
        ("[train.optim]\nlr = nan", ["train.optim.lr", "finite"]),
        ("[train]\noptim = 'adam'", ["train.optim", "optim.name", "optim.lr"]),
        ("train = 3", ["train", "data.name"]),
        ("[train.epochs]\nx = 3", ["'epochs.x'"]),
        ("[search]\nsampler_options = 3", ["search.sampler_options", "dict"]),
        ("[train]\nseed = 3", ["train.seed", "search.seed"]),
        ("threads = 3", ["threads", "engine.threads"]),
        ("epochs = 3\n[train]\nepochs = 3", ["train.epochs", "epochs and", "twice"]),
        ("[studies.optim_serach]\nepochs = 3", ["'optim_serach'", "'optim_search'"]),
        ("[studies.optim_search]\nepochz = 3", ["conf.toml [studies.optim_search]", "'epochz'"]),
        ("[studies]\noptim_search = 3", ["studies.optim_search", "table", "3"]),
        ("studies = 3", ["studies", "table", "3"]),
        ("[train", ["TOML"]),
        ("a = 1\nb = ", ["line 2"]),
        ("[train]\nepochs = 3\nepochs = 4", ["line 3"]),
        ("[train]\nepochs: 3", ["line 2"]),
        ("[train]\nepochs = \n\n\n'''", ["line 2"]),
        ("x = '''\n\n", ["line 3"]),
        ("[optin]", ["'optin'"]),
        ("[train.epochs]", ["train.epochs", "{}"]),
        ('"" = 3', ["''"]),
        ('"train." = 3', ["setting"]),
        ('".." = 3', ["'..'"]),
        ('"a\\nb" = 3', ["'a\\nb'"]),
        ("[results]\nfolder = ''", ["results.folder"]),
    ],
)
def test_mistakes_in_conf_toml_are_one_line(conf, text, names):
    message = error_of(lambda: combine([(c := conf(text)).general, *c.studies.values()]))
    assert message.startswith("conf.toml") and all(name in message for name in names)


def test_files_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf.toml").write_bytes(b"[train]\nepochs = 3 # \xff")
    assert "conf.toml" in (said := error_of(read_conf, None, studies=[])) and "UTF-8" in said
    Path("folder").mkdir()
    assert error_of(read_conf, Path("folder"), studies=[]).startswith("folder: ")
    Path("zero").write_bytes(b"\0\0")
    assert error_of(read_conf, Path("zero"), studies=[]).startswith("zero: ")


def test_a_file_from_a_windows_editor(conf):
    text = "[train]\r\nepochs = 3\r\n"
    assert conf(text, encoding="utf-8-sig").general.values == {"train.epochs": 3}


def test_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_conf(None, studies=[]).general.values == {}
    # Given by name it must be there, also under the default's name.
    for name in ("other.toml", "conf.toml"):
        message = error_of(read_conf, Path(name), studies=[])
        assert message.startswith(name) and "No such file" in message
    # A link that leads nowhere was meant to be read.
    Path("conf.toml").symlink_to("moved.toml")
    assert "No such file" in error_of(read_conf, None, studies=[])


@pytest.mark.parametrize(
    ("assignment", "names"),
    [
        ("epochs=abc", ["epochs", "integer", "'abc'"]),
        ("epochs=", ["epochs", "integer", "''"]),
        ("optim=adam", ["optim", "optim.name"]),
        ("lr=0.1", ["'lr'", "'optim.lr'"]),
        ("trian.epochs=3", ["'epochs'"]),
        ("studies.optim_search.epochs=3", ["'studies.optim_search.epochs'"]),
        ("search.trials=-1", ["search.trials", "1"]),
        ("search.trials=1e3", ["search.trials", "integer", "1000.0"]),
        ("epochs={a=1}", ["'epochs.a'"]),
        ("seed=3", ["seed", "search.seed"]),
    ],
)
def test_mistakes_behind_set_are_one_line(assignment, names):
    key, value = parse_assignment(assignment)
    message = error_of(lambda: combine([make_layer({key: value}, source="--set")]))
    assert message.startswith("--set: ") and all(name in message for name in names)


def test_what_a_study_searches_cannot_be_set():
    message = error_of(
        make_layer, {"optim": {"lr": 0.1}}, source="--set", searched={"train.optim.lr"}
    )
    assert message.startswith("--set: ") and "optim.lr" in message


def test_a_value_with_lines_is_a_string():
    assert parse_assignment("data.name=1\nepochs=3") == ("data.name", "1\nepochs=3")
    assert parse_assignment("data.name=1 # one") == ("data.name", 1)


NAMES = st.sampled_from(["train", "search", "data", "optim", "lr", "epochs", "", "a.b", "seed"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.lists(st.integers(), max_size=2)
)
TREES = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES | st.text(max_size=3), inner))


@settings(max_examples=20)
@given(st.dictionaries(NAMES | st.sampled_from(Settings.setting_names()), TREES))
def test_whatever_comes_is_taken_or_refused_in_one_line(values):
    try:
        combine([make_layer(values, source="--set")])
    except ConfigError as error:
        assert str(error).startswith("--set: ")
        assert "\n" not in str(error)
