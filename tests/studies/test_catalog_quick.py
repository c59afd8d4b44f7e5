"""Every study runs to its end with ``--quick``: search, confirmation, test, best configuration."""

import sys
import tomllib

import pytest
import torch

from mnist_core.config import DataConfig
from mnist_core.data import idx, load, load_test
from studies import catalog, cli
from studies.run import app

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


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a study by its command line, in this process: a new one would import torch anew."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["studies.run", *map(str, words)])
        monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
        threads = torch.get_num_threads()
        with pytest.raises(SystemExit) as ended:
            cli.main(app, "python -m studies.run")
        torch.set_num_threads(threads)
        return ended.value.code or 0, capsys.readouterr().err

    return call


# One is enough for `make test`: the one with a Pareto front, as test_end_to_end.py has a winner.
STUDIES = [
    pytest.param(name, marks=() if name == "size_search" else pytest.mark.long)
    for name in catalog.names()
]


@pytest.mark.parametrize("name", STUDIES)
def test_it_runs_to_its_end(tmp_path, few_digits, name, run):
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
    code, errors = run(name, "--quick", "--engine", "inline", *sets)
    assert code == 0, errors
    folder = tmp_path / f"{name}-quick"
    record = tomllib.loads((folder / "best_config.toml").read_text())["record"]
    assert record["study"] == f"{name}-quick"
    assert catalog.get(name).scientific in (folder / "report.md").read_text()
