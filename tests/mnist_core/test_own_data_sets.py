"""A data set of the user's own: found by name, by its file, and installed."""

import gzip
import os
import sys
from pathlib import Path

import pytest

import mnist_core
from mnist_core import plugins
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.data import image_arrays, name_or_path, registry
from mnist_core.errors import ConfigError, DataError
from objectives.trainer.settings import comparable_settings

FILES = [file.name for file in registry.DATA_SETS["mnist"].files]
LETTERS = f"""
from mnist_core.data.registry import DataFile, DataSet
DATA_SET = DataSet("letters", "letters", "mine", *map(DataFile, {FILES}))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with the data set ``letters``, whose images lie in ``images``."""
    (tmp_path / "letters.py").write_text(LETTERS)
    images = tmp_path / "images"
    images.mkdir()
    for name in FILES:
        shipped = Path(mnist_core.__file__).parent / "data/embedded" / f"{name}.gz"
        content = bytearray(gzip.decompress(shipped.read_bytes()))
        content[-1] = (content[-1] + 1) % 10  # what is published is refused under another name
        (images / name).write_bytes(content)
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("letters", "other", "odd"):
        sys.modules.pop(name, None)


def settings(name):
    return DataConfig(name=name, root="images")


@pytest.mark.parametrize("name", ["letters", "./letters.py", "letters.py"])
def test_it_is_read_by_name_and_by_its_file(project, name):
    found = image_arrays.validation_images(settings(name))
    assert len(found.images) == 1000
    assert name_or_path.own_path(settings(name)) is None
    assert name_or_path.placed(settings(name)).name == "letters"


def test_a_study_of_it_is_comparable_without_its_file(project):
    config = TrainConfig().override({"data.name": "letters"})
    there = comparable_settings(config)
    os.remove("letters.py")
    assert comparable_settings(config) == there
    assert name_or_path.known_size(config.data) == 0


def test_a_name_that_is_taken_or_wrong_is_one_line(project):
    (project / "cifar10.py").write_text(LETTERS)
    (project / "other.py").write_text(LETTERS)
    (project / "odd.py").write_text("DATA_SET = 3")
    for name, said in (
        ("cifar10", "cifar10.py"),
        ("other", "DATA_SET.name"),
        ("odd", "DATA_SET"),
        ("./gone.py", "gone.py"),
        ("lettres", "letters"),
    ):
        with pytest.raises((ConfigError, DataError)) as error:
            image_arrays.validation_images(settings(name))
        assert said in str(error.value) and "\n" not in str(error.value)
