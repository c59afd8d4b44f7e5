"""Options that a model's own file declares, with types and bounds beside it."""

import sys

import pytest
import torch
import typer
from typer.testing import CliRunner

from mnist_core import models, plugins
from mnist_core.checkpoints import checkpoint
from mnist_core.commands.models_command import models_command
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.errors import ConfigError
from mnist_core.plugins import model_files

OWN = """
from pydantic import Field
from torch import nn

from mnist_core.table import Table


class Options(Table):
    heads: int = Field(4, ge=1, le=16, description="attention heads")
    depth: int = Field(12, ge=1, le=50)  # a name of the common list, with other bounds
    norm: str = "rms"  # and another type


def build(config, n_classes):
    assert isinstance(config, Options)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, config.heads), nn.Linear(config.heads, 10))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a user's own model ``wide``."""
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text):
        (tmp_path / "wide.py").write_text(text)

    write(OWN)
    yield write
    sys.modules.pop("wide", None)


def of(**options):
    return TrainConfig().override({f"model.{k}": v for k, v in {"name": "wide", **options}.items()})


def test_they_have_their_defaults_and_reach_build(own):
    resolved = models.resolve(of(heads=7).model)
    assert resolved.to_dict() == {"name": "wide", "heads": 7, "depth": 12, "norm": "rms"}
    assert models.resolve(resolved) == resolved
    assert models.build(resolved, 10)[1].out_features == 7


def test_a_common_name_has_the_models_bounds(own):
    assert models.resolve(of(depth=40).model).to_dict()["depth"] == 40
    with pytest.raises(ConfigError, match=r"model\.depth"):
        of(name="flex_cnn", depth=40)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"headz": 3}, "did you mean 'model.heads'"),
        ({"heads": 99}, "model.heads: "),
        ({"heads": "many"}, "model.heads: "),
        ({"norm": 3}, "model.norm: "),
        ({"width": 3}, "unknown setting 'model.width'"),
    ],
)
def test_a_wrong_one_is_named_with_the_file(own, options, said, refusal):
    message = refusal(ConfigError, models.resolve, of(**options).model)
    assert message.partition(": ")[0].endswith("wide.py") and said in message


def test_a_shipped_model_has_none(refusal):
    assert "unknown setting 'model.heads'" in refusal(ConfigError, of, name="net", heads=3)


def test_a_config_survives_a_file(own):
    config = of(heads=3, norm="layer")
    assert TrainConfig.from_mapping(config.to_dict(), source="a file") == config
    assert config.override({"epochs": 2}).model == config.model
    assert "heads" not in of(heads=None).model.to_dict()


def test_a_checkpoint_keeps_them(own, tmp_path):
    config = of(heads=5)
    resolved = config.model_copy(update={"model": models.resolve(config.model)})
    model = models.build(resolved.model, 10)
    checkpoint.save(tmp_path / "x.safetensors", model, resolved, n_classes=10, metrics={})
    kept = checkpoint.load(tmp_path / "x.safetensors")
    assert kept.config.model == resolved.model
    assert torch.equal(kept.model[1].weight, model[1].weight)


def test_options_that_are_no_table(own, refusal):
    own("class Options: pass\ndef build(config, n_classes): ...")
    assert "Table" in refusal(ConfigError, models.resolve, of().model)


def test_options_from_elsewhere(own):
    own(
        "from torch import nn\nfrom mnist_core.config import PairsConfig as Options\n"
        "def build(config, n_classes): return nn.Linear(1, 1)"
    )
    assert models.resolve(of(per_epoch=4).model).to_dict()["per_epoch"] == 4


def test_they_are_described(own):
    described = {option.name: option for option in models.options("wide")}
    assert described["heads"].default == 4 and "1 to 16" in described["heads"].values
    assert described["heads"].description == "attention heads"
    listed = {option.name for option in models.options("resnet18")}
    assert listed == {"stem"} and not models.options("lenet5")


def test_the_command_lists_them(own):
    app = typer.Typer()
    app.command()(models_command)
    listed = CliRunner().invoke(app, ["wide"]).stdout
    assert "model.heads = 4 (integer, 1 to 16); attention heads" in listed
    assert {"wide", "torchvision:NAME"} <= set(CliRunner().invoke(app, []).stdout.split())


@pytest.mark.parametrize("name", models.names())
def test_shipped_models_keep_the_common_list(name):
    assert not model_files.declares_options(name)
    assert not models.resolve(ModelConfig(name=name)).model_extra
