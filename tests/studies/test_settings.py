"""Settings: where they come from, what wins, and what is said about each mistake."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    layer = make_layer(tomllib.loads(uncommented), source="conf.toml")
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
    ("text", "says"),
    [
        ("[train]\nepochz = 3", "conf.toml: unknown setting 'epochz'; did you mean 'epochs'?"),
        ("[opt]\nlr = 3", "unknown setting 'opt.lr'; did you mean 'optim.lr'?"),
        ("[train.optim]\nlearning = 3", "unknown setting 'optim.learning'"),
        ("[train.optim]\nwieght_decay = 3", "did you mean 'optim.weight_decay'? (valid: optim.al"),
        ("[search]\nworkers = 3", "unknown setting 'search.workers'; did you mean 'engine.work"),
        ("trials = 3", "unknown setting 'trials'; did you mean 'search.trials'?"),
        ("[train]\nepochs = '3'", "conf.toml: train.epochs: input should be a valid integer, but"),
        ("[train]\nepochs = 3.0", "train.epochs: input should be a valid integer, but got 3.0"),
        ("[train]\nepochs = true", "but got True"),
        ("[train]\nepochs = 0", "train.epochs: input should be greater than or equal to 1, but"),
        ("[train]\nepochs = 1979-05-27", "train.epochs: input should be a valid integer"),
        ("[train]\nepochs = [1, 2]", "but got [1, 2]"),
        ("epochs = 0", "conf.toml: epochs: input should be greater"),
        ("[data]\nname = 3", "conf.toml: data.name: input should be a valid string, but got 3"),
        ("[train]\ndevice = 'gpu'", "device must be auto, cpu, cuda or cuda:N, but got 'gpu'"),
        ("[train.optim]\nlr = nan", "train.optim.lr: input should be a finite number"),
        ("[train]\noptim = 'adam'", "train.optim is a table; set one of optim.name, optim.lr"),
        ("train = 3", "train is a table; set one of data.name"),
        ("[train.epochs]\nx = 3", "unknown setting 'epochs.x'"),
        ("[search]\nsampler_options = 3", "search.sampler_options: input should be a valid dict"),
        ("[train]\nseed = 3", "train.seed: every trial has its own seed, drawn from search.seed"),
        ("threads = 3", "threads: workers share the CPU cores; set engine.threads"),
        ("epochs = 3\n[train]\nepochs = 3", "train.epochs is given twice, as epochs and as train"),
        ("[studies.optim_serach]\nepochs = 3", "unknown study 'optim_serach'; did you mean 'opt"),
        ("[studies.optim_search]\nepochz = 3", "conf.toml [studies.optim_search]: unknown setting"),
        ("[studies]\noptim_search = 3", "studies.optim_search must be a table, but got 3"),
        ("studies = 3", "studies must hold a table per study, but got 3"),
        ("[train", "conf.toml: is not valid TOML: "),
        ("a = 1\nb = ", "at line 2"),
        ("[train]\nepochs = 3\nepochs = 4", "at line 3"),
        ("[train]\nepochs: 3", "at line 2"),
        ("[train]\nepochs = \n\n\n'''", "line 2"),
        ("x = '''\n\n", "at line 3"),
        ("[optin]", "unknown setting 'optin'"),
        ("[train.epochs]", "conf.toml: train.epochs: input should be a valid integer, but got {}"),
        ('"" = 3', "unknown setting ''"),
        ('"train." = 3', "unknown setting"),
        ('".." = 3', "unknown setting '..'"),
        ('"a\\nb" = 3', "unknown setting 'a\\nb'"),
        ("[results]\nfolder = ''", "results.folder: string should have at least 1 character"),
    ],
)
def test_mistakes_in_conf_toml_are_one_line(conf, text, says):
    message = error_of(lambda: combine([(c := conf(text)).general, *c.studies.values()]))
    assert says in message
    assert message.startswith("conf.toml")


def test_files_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf.toml").write_bytes(b"[train]\nepochs = 3 # \xff")
    assert "conf.toml: is not UTF-8 text" in error_of(read_conf, None, studies=[])
    Path("folder").mkdir()
    assert "folder: cannot be read: " in error_of(read_conf, Path("folder"), studies=[])
    Path("zero").write_bytes(b"\0\0")
    assert "zero: is not valid TOML" in error_of(read_conf, Path("zero"), studies=[])


def test_a_file_from_a_windows_editor(conf):
    text = "[train]\r\nepochs = 3\r\n"
    assert conf(text, encoding="utf-8-sig").general.values == {"train.epochs": 3}


def test_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_conf(None, studies=[]).general.values == {}
    message = error_of(read_conf, Path("other.toml"), studies=[])
    assert message == "other.toml: cannot be read: No such file or directory"
    # Given by name it must be there, also under the default's name.
    assert "conf.toml: cannot be read" in error_of(read_conf, Path("conf.toml"), studies=[])


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("epochs=abc", "--set: epochs: input should be a valid integer, but got 'abc'"),
        ("epochs=", "--set: epochs: input should be a valid integer, but got ''"),
        ("optim=adam", "--set: optim is a table; set one of optim.name"),
        ("lr=0.1", "--set: unknown setting 'lr'; did you mean 'optim.lr'?"),
        ("trian.epochs=3", "did you mean 'epochs'?"),
        ("studies.optim_search.epochs=3", "unknown setting 'studies.optim_search.epochs'"),
        ("search.trials=-1", "search.trials: input should be greater than or equal to 1"),
        ("search.trials=1e3", "search.trials: input should be a valid integer, but got 1000.0"),
        ("epochs={a=1}", "unknown setting 'epochs.a'"),
        ("seed=3", "seed: every trial has its own seed"),
    ],
)
def test_mistakes_behind_set_are_one_line(assignment, says):
    key, value = parse_assignment(assignment)
    message = error_of(lambda: combine([make_layer({key: value}, source="--set")]))
    assert says in message


def test_what_a_study_searches_cannot_be_set():
    message = error_of(
        make_layer, {"optim": {"lr": 0.1}}, source="--set", searched={"train.optim.lr"}
    )
    assert message == (
        "--set: optim.lr is searched by this study, so it cannot be set; leave it out"
    )


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


@given(st.dictionaries(NAMES | st.sampled_from(Settings.setting_names()), TREES))
def test_whatever_comes_is_taken_or_refused_in_one_line(values):
    try:
        combine([make_layer(values, source="--set")])
    except ConfigError as error:
        assert str(error).startswith("--set: ")
        assert "\n" not in str(error)
