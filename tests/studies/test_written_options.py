"""An option that becomes a setting is named in a mistake as it was written."""

import pytest
from in_this_process import here  # noqa: F401

from mnist_core.commands import options as training
from mnist_core.errors import ConfigError
from studies.cli.options import WRITTEN, Chosen
from studies.planning.settings import Settings


@pytest.mark.parametrize("option", ["epochs", "seed"])
def test_of_a_training(option):
    with pytest.raises(ConfigError, match=f"^--{option}: input should be"):
        training.configuration(None, None, **{option: -1})


def test_what_set_sets_is_blamed_on_set():
    with pytest.raises(ConfigError, match=r"^--set: epochs: input should be"):
        training.configuration(None, ["epochs=-1"], epochs=3)
    with pytest.raises(ConfigError, match=r"^--set: search.trials: "):
        Chosen(study="optim_search", assignments=["search.trials=-1"]).resolve({"search.trials": 4})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("search.trials", -1),
        ("search.trials_complete", 0),
        ("engine.workers", -1),
        ("search.order", "x"),
    ],
)
def test_of_a_study(setting, value):
    with pytest.raises(ConfigError, match=f"^{WRITTEN[setting]}: "):
        Chosen(study="optim_search").resolve({setting: value})


def test_each_is_a_setting():
    settings = {name.removeprefix("train.") for name in Settings.setting_names()}
    assert set(WRITTEN) <= settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "foo"], "--engine: unknown engine"),
        (["--engine=foo"], "--engine: unknown engine"),
        (["--engine", "local", "--set", "engine.name=foo"], "engine.name: unknown engine"),
        (["--track", "foo"], "--track: unknown tracker"),
    ],
)
def test_what_a_later_check_finds(here, words, said):  # noqa: F811
    done = here("studies", "run", "optim_search", *words)
    assert (done.returncode, done.stderr[: 7 + len(said)]) == (1, f"error: {said}")


@pytest.mark.parametrize("command", ["train", "tune-lr"])
def test_of_a_model(here, command):  # noqa: F811
    done = here("mnist_core", command, "--model", "foo")
    assert done.stderr.startswith("error: --model: unknown model 'foo'")
