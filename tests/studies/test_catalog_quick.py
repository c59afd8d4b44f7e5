"""Every study runs to its end with ``--quick``: search, confirmation, test, best configuration."""

import tomllib

import pytest
from in_this_process import here  # noqa: F401
from small_data import small_data

from studies import catalog

pytestmark = pytest.mark.slow


# One is enough for `make test`: the one with a Pareto front, as test_end_to_end.py has a winner.
STUDIES = [
    pytest.param(name, marks=() if name == "size_search" else pytest.mark.long)
    for name in catalog.names()
]


@pytest.mark.parametrize("name", STUDIES)
def test_it_runs_to_its_end(tmp_path, name, here):  # noqa: F811
    settings = {
        "data.name": "folder",
        "data.root": small_data(),
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
