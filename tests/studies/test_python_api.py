"""Studies run and read from Python."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from programs import HERE
from toyland import toyland  # noqa: F401

import studies
from mnist_core.errors import ConfigError
from studies import catalog
from studies.cli import foreground
from studies.planning import plan

HERE_ONLY = {"engine.name": "inline", "tracking.trackers": []}


@pytest.fixture
def ran(toyland):  # noqa: F811
    return studies.run("toyland", set=HERE_ONLY, plain=True)


def test_a_run_returns_what_it_found(ran, toyland):  # noqa: F811
    assert (ran.name, ran.phase) == ("toyland", "finished")
    assert ran.folder == toyland / "results/toyland"
    assert ran.result == json.loads((ran.folder / "result.json").read_text())
    assert ran.best == ran.table.index[0] and ran.best in ran.verdict
    assert ran.table.loc[ran.best, "standing"] == "best"
    assert len(ran.trials) == 3 and {"phase", "step"} <= set(ran.curves.columns)
    assert ran.config.seed == ran.result["winner"]["seed"]
    assert ran.params == ran.result["winner"]["params"]
    assert ran.files["report"] == ran.folder / "report.md"
    assert {"best_config", "page", "result"} <= set(ran.files)
    page = ran._repr_html_()
    assert "<table>" in page and ran.best in page and repr(ran) == "<Study toyland, finished>"


def test_load_gives_the_same_object(ran):
    loaded = studies.load("toyland")
    assert type(loaded) is type(ran) and loaded.result == ran.result
    assert studies.load("results/toyland").trials.equals(ran.trials)


def test_a_run_again_trains_nothing(ran, capsys):
    again = studies.run("toyland", set=HERE_ONLY, plain=True)
    assert "nothing was run" in capsys.readouterr().out
    assert again.result == ran.result


def test_an_interrupted_run_is_resumed_by_the_command_it_prints(
    toyland,  # noqa: F811
    here,  # noqa: F811
    monkeypatch,
):
    Path("interrupt").touch()
    said = []
    monkeypatch.setattr(foreground, "_say", said.append)
    with pytest.raises(KeyboardInterrupt):
        studies.run("toyland", set={**HERE_ONLY, "search.trials": 4}, plain=True)
    again = shlex.split(said[-1].rpartition("Resume with: ")[2])
    assert again[:4] == ["python", "-m", "studies.run", "toyland"]
    assert here(*again[2:], "--plain").returncode == 0
    assert len(studies.load("toyland").trials) == 4


def test_mistakes_are_exceptions(toyland):  # noqa: F811
    with pytest.raises(ConfigError, match="toyland"):
        studies.run("toylnd")
    with pytest.raises(ConfigError, match="epochs"):
        studies.run("toyland", set={"epoch": 3})
    with pytest.raises(AttributeError, match="runs"):
        studies.runs  # noqa: B018


@pytest.mark.parametrize(
    "line",
    [
        "import studies",
        "import studies.run",
        "from studies import run",
        "from studies.run import app; import studies",
    ],
)
def test_the_function_and_the_module_have_one_name(line):
    code = f"{line}; import sys, studies; assert callable(studies.run); studies.run('no such')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert "unknown study 'no such'" in done.stderr


def test_another_study_of_a_catalogs_name_is_refused():
    spec = dataclasses.replace(catalog.get("optim_search"), goal="Another question?")
    with pytest.raises(ConfigError, match="optim_search"):
        studies.run(spec)


def test_a_study_of_a_script_has_a_plan():
    spec = dataclasses.replace(catalog.get("optim_search"), name="from_a_script")
    made = plan.resolve(spec, sets={"epochs": 2})
    assert made.name == "from_a_script" and made.train.epochs == 2 and made.spec is spec
