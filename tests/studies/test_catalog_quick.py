"""Every study runs to its end with ``--quick``: search, confirmation, test, best configuration."""

import tomllib

import pytest
from in_this_process import here  # noqa: F401

from mnist_core.config import DataConfig
from mnist_core.data import idx, load, load_test
from studies import catalog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    """A folder with 600 training and 200 test images of the embedded set."""
    folder = tmp_path_factory.mktemp("digits")
    for name, split, n in (
        ("train", load(DataConfig()).train, 600),
        ("t10k", load_test(DataConfig()), 200),
    ):
        idx.write_images(folder / f"{name}-images-idx3-ubyte", split.images[:n].numpy())
        labels = split.labels[:n].byte().numpy()
        idx.write_labels(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder


# One is enough for `make test`: the one with a Pareto front, as test_end_to_end.py has a winner.
STUDIES = [
    pytest.param(name, marks=() if name == "size_search" else pytest.mark.long)
    for name in catalog.names()
]


@pytest.mark.parametrize("name", STUDIES)
def test_it_runs_to_its_end(tmp_path, few_digits, name, here):  # noqa: F811
    settings = {
        "data.name": "folder",
        "data.root": few_digits,
        "results.folder": tmp_path,
        "confirm.seeds": 2,
        "device": "cpu",
        "engine.threads": 1,
    }
    if catalog.get(name).objective == "pairs":
        settings |= {"pairs.per_epoch": 300, "pairs.evaluation": 200}
    if catalog.get(name).fixed.get("engine.ray.scheduler") == "pbt":  # see test_engine_ray_pbt.py
        settings |= {"engine.ray.scheduler": "book"}
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    done = here("studies.run", name, "--quick", "--engine", "inline", *sets)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / f"{name}-quick"
    record = tomllib.loads((folder / "best_config.toml").read_text())["record"]
    assert record["study"] == f"{name}-quick"
    assert catalog.get(name).scientific in (folder / "report.md").read_text()
