"""A whole study through the real command line: two worker processes, real images."""

import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
from test_cli import ROOT, call, inside, states, tiny
from waiting import PATIENCE

pytestmark = pytest.mark.slow


def records(folder: Path, name: str):
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optim_search-quick/study.db")
    study = optuna.load_study(study_name=name, storage=storage)
    found = study.get_trials(), study.user_attrs
    storage.remove_session()
    storage.engine.dispose()
    return found


def test_a_study_from_nothing_to_its_best_configuration_and_on(tmp_path):
    options = [*tiny(tmp_path, trials=6), "--workers", "2", "--save-svg", tmp_path / "view.svg"]
    done = subprocess.run(
        # The option says what the supervisor imports; it is not handed on to the workers.
        [sys.executable, "-X", "importtime", "-m", "studies.run", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == []
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "optuna" in imported  # from the first line to the report, but what the workers need
    assert imported.isdisjoint({"torch", "sklearn", "pandas", "scipy.stats"})
    assert "a training: " in done.stdout and "; the study: up to " in done.stdout
    assert "Tie: " in done.stdout or "Best" in done.stdout
    assert "too few for a claim" in done.stdout  # two seeds
    assert (tmp_path / "view.svg").read_text().startswith("<svg")
    assert len(states(tmp_path)) == 6

    confirmed, attributes = records(tmp_path, "optim_search-quick.confirm")
    # Six trials are the defaults of six optimizers, adam's among them: nothing is trained twice.
    assert len(confirmed) == 6 * 2
    assert {trial.state.name for trial in confirmed} == {"COMPLETE"}
    assert len(attributes["test"]["openings"]) == 1
    assert len(attributes["test"]["values"]) == 12
    assert not any("test" in key for trial in confirmed for key in trial.user_attrs["metrics"])

    folder = tmp_path / "optim_search-quick"
    assert (folder / "report.md").read_text().startswith("# optim_search")
    best = folder / "best_config.toml"
    recorded = tomllib.loads(best.read_text())["record"]["val_accuracy"]
    again = call("train", best, module="mnist_core")
    assert again.returncode == 0, again.stderr
    assert f"reproduced: the recorded validation accuracy {recorded!r}, exactly" in again.stdout

    # Finished: nothing is trained, the test set stays closed, the result is shown again.
    once_more = inside(["studies.run", *tiny(tmp_path, trials=6)])
    assert "was finished before: nothing was trained" in once_more.stdout
    assert records(tmp_path, "optim_search-quick.confirm")[1] == attributes

    # More trials: exactly the missing ones are added.
    more = call(*tiny(tmp_path, trials=7), "--engine", "inline", "--read-test-again")
    assert more.returncode == 0, more.stderr
    assert "Search: 7 trainings, 6 of them done before" in more.stdout
    assert len(states(tmp_path)) == 7
    assert len(records(tmp_path, "optim_search-quick.confirm")[0]) == 7 * 2
    assert "the test set was read 2 times" in more.stdout

    exported = inside(["studies", "export", *tiny(tmp_path), "--out", str(tmp_path / "x")])
    assert exported.returncode == 0, exported.stderr
    assert tomllib.loads((tmp_path / "x").read_text()) == tomllib.loads(best.read_text())

    # Another space or setting is refused; --fresh moves the old study aside and loses nothing.
    other = inside(["studies.run", *tiny(tmp_path, trials=6), "--set", "batch_size=128"])
    assert other.returncode == 1 and "--fresh" in other.stderr and "batch_size" in other.stderr
    fresh = call(*tiny(tmp_path, trials=2), "--fresh", "--engine", "inline")
    assert fresh.returncode == 0, fresh.stderr
    assert len(states(tmp_path)) == 2
    aside = [path for path in tmp_path.iterdir() if path.name.startswith("optim_search-quick.")]
    assert len(aside) == 1 and (aside[0] / "best_config.toml").is_file()


def test_a_terminal_gets_the_live_view(tmp_path):
    if sys.platform != "linux":
        pytest.skip("needs script(1) of util-linux")
    import shlex

    arguments = [sys.executable, "-m", "studies.run", *tiny(tmp_path, trials=2), "--workers", "1"]
    done = subprocess.run(
        ["script", "-qec", f"stty cols 100 rows 40; {shlex.join(arguments)}", "/dev/null"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Search" in done.stdout and "complete" in done.stdout and "best so far" in done.stdout
    assert "report.md" in done.stdout
