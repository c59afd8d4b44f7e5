"""Reading settings from a file: the record apart, and every mistake in one line."""

import pytest

from mnist_core.config import read_settings
from mnist_core.errors import ConfigError


def test_settings_and_record_are_read_apart(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("epochs = 3\n[optim]\nlr = 0.1\n[record]\nval_accuracy = 0.5\n")
    settings, record = read_settings(path)
    assert settings == {"epochs": 3, "optim": {"lr": 0.1}}
    assert record == {"val_accuracy": 0.5}
    path.write_text("")
    assert read_settings(path) == ({}, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"epochs = ", "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a = " + b"[" * 5000, "c.toml: "),
        (b"record = 3", "record must be a table, but got 3"),
    ],
)
def test_mistakes(tmp_path, refusal, content, says):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    assert says in refusal(ConfigError, read_settings, path)


def test_a_file_that_is_not_there(tmp_path, refusal):
    assert "cannot be read" in refusal(ConfigError, read_settings, tmp_path / "gone.toml")
    assert "cannot be read" in refusal(ConfigError, read_settings, tmp_path)
