"""The seal of an export: whatever is edited breaks it, where the training runs does not."""

import copy
import tomllib

import pytest
import tomli_w

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from studies.analysis import reproduction
from studies.core.seal import SEAL, sealed

TABLES = {
    **TrainConfig(seed=2**62 + 1).override({"optim.lr": 1e-3, "changes": []}).to_dict(),
    "record": {"metric": "val_accuracy", "val_accuracy": 0.9, "params": {"optim.lr": 1e-3}},
}


@pytest.fixture
def edited(tmp_path):
    """Read an export with one value changed."""

    def read(*path, value=None):
        tables = copy.deepcopy(sealed(TABLES))
        if path:
            *parents, leaf = path
            table = tables
            for parent in parents:
                table = table[parent]
            assert table.get(leaf) != value
            table[leaf] = value
        file = tmp_path / "export.toml"
        file.write_text(tomli_w.dumps(tables))
        return reproduction.read(file)

    return read


def test_what_was_written_is_whole(edited):
    assert edited().value == 0.9
    assert (
        tomllib.loads(tomli_w.dumps(sealed(TABLES)))["record"][SEAL]
        == (sealed(TABLES)["record"][SEAL])
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("seed",), 5),
        (("epochs",), 2),
        (("optim", "lr"), 1.1e-3),
        (("optim", "beta1"), 0.8),
        (("data", "split_seed"), 1),
        (("record", "val_accuracy"), 0.8),
        (("record", "params", "optim.lr"), 0.1),
        (("record", "torch"), "2.0"),
        (("record", SEAL), "x"),
    ],
)
def test_what_was_edited_is_refused(edited, path, value):
    with pytest.raises(ConfigError, match=r"export\.toml"):
        edited(*path, value=value)


@pytest.mark.parametrize(
    ("path", "value"), [(("device",), "cuda"), (("threads",), 7), (("data", "root"), "/x")]
)
def test_where_it_is_trained_may_be_edited(edited, path, value):
    assert edited(*path, value=value).value == 0.9


def test_the_order_in_the_file_is_no_matter(tmp_path):
    def turned(table):
        return {
            name: turned(value) if isinstance(value, dict) else value
            for name, value in reversed(table.items())
        }

    file = tmp_path / "export.toml"
    file.write_text(tomli_w.dumps(turned(sealed(TABLES))))
    assert reproduction.read(file).value == 0.9


def test_an_export_of_before_has_no_seal(tmp_path):
    file = tmp_path / "export.toml"
    file.write_text(tomli_w.dumps(TABLES))
    found = reproduction.read(file)
    assert found.value == 0.9 and not found.sealed
    file.write_text(tomli_w.dumps(sealed(TABLES)))
    assert reproduction.read(file).sealed
