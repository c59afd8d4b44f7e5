"""A whole study through the real command line: two worker processes, real images."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
from in_this_process import here  # noqa: F401
from programs import warm_workers  # noqa: F401
from test_cli import ROOT, inside, one_line, states, tiny
from waiting import PATIENCE

from studies.core.attributes import RUNS

pytestmark = pytest.mark.slow


def records(folder: Path, name: str):
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optim_search-quick/study.db")
    study = optuna.load_study(study_name=name, storage=storage)
    found = study.get_trials(), study.user_attrs
    storage.remove_session()
    storage.engine.dispose()
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of three trials, and what its supervisor printed; the folder stays as it is."""
    folder = tmp_path_factory.mktemp("finished")
    options = [*tiny(folder, trials=3), "--workers", "2", "--save-svg", folder / "view.svg"]
    done = subprocess.run(
        # The option says what the supervisor imports; it is not handed on to the workers.
        [sys.executable, "-X", "importtime", "-m", "studies.run", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done


@pytest.fixture
def copied(finished, tmp_path):
    """Its folder, to be changed."""
    return shutil.copytree(finished[0], tmp_path / "copied")


def test_a_study_from_nothing_to_its_best_configuration(finished):
    folder, done = finished
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == []
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "optuna" in imported  # from the first line to the report, but what the workers need
    assert imported.isdisjoint({"torch", "sklearn", "pandas", "scipy.stats"})
    assert "the study takes up to " in done.stdout and "; one training " in done.stdout
    assert "Tie: " in done.stdout or "Best" in done.stdout
    assert "too few for a claim" in done.stdout  # two seeds
    assert (folder / "view.svg").read_text().startswith("<svg")
    assert len(states(folder)) == 3

    confirmed, attributes = records(folder, "optim_search-quick.confirm")
    # Three trials are the defaults of three optimizers, adam's too: nothing is trained twice.
    assert len(confirmed) == 3 * 2
    assert {trial.state.name for trial in confirmed} == {"COMPLETE"}
    assert len(attributes["test"]["openings"]) == 1
    assert len(attributes["test"]["values"]) == 6
    assert not any("test" in key for trial in confirmed for key in trial.user_attrs["metrics"])
    assert (folder / "optim_search-quick" / "report.md").read_text().startswith("# optim_search")


def test_its_best_configuration_is_trained_again(finished, here, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    best = finished[0] / "optim_search-quick" / "best_config.toml"
    recorded = tomllib.loads(best.read_text())["record"]["val_accuracy"]
    again = here("mnist_core", "train", best)
    assert again.returncode == 0, again.stderr
    assert f"reproduced: the recorded validation accuracy {recorded!r}, exactly" in again.stdout


def test_its_recorded_order_is_replayed(copied):
    options = tiny(copied, trials=3)
    replayed = inside(["studies", "replay", *options])
    assert replayed.returncode == 0, replayed.stderr
    assert "3 proposals and 3 answers to reports are the same" in replayed.stdout
    place = ["optim_search", "--quick", "--set", f"results.folder={copied}"]
    assert inside(["studies", "replay", *place]).returncode == 0  # the study knows its settings
    storage = optuna.storages.RDBStorage(f"sqlite:///{copied}/optim_search-quick/study.db")
    study = optuna.load_study(study_name="optim_search-quick", storage=storage)
    runs = study.user_attrs[RUNS]
    runs[0]["search"]["seed"] = 9
    study.set_user_attr(RUNS, runs)
    storage.remove_session()
    storage.engine.dispose()
    one_line(inside(["studies", "replay", *options]), "trial 0: ", "seed")


def test_a_finished_study_goes_on(copied, here, tmp_path, warm_workers):  # noqa: F811
    # Finished: nothing is trained, the test set stays closed, the result is shown again.
    attributes = records(copied, "optim_search-quick.confirm")[1]
    once_more = inside(["studies.run", *tiny(copied, trials=3), "--workers", "1"])
    assert "had finished before" in once_more.stdout
    assert records(copied, "optim_search-quick.confirm")[1] == attributes

    # More trials: exactly the missing ones are added.
    options = [*tiny(copied, trials=4), "--engine", "inline", "--read-test-again"]
    more = here("studies.run", *options)
    assert more.returncode == 0, more.stderr
    assert "Search: 1 of 4 trials left" in more.stdout
    assert len(states(copied)) == 4
    assert len(records(copied, "optim_search-quick.confirm")[0]) == 4 * 2
    assert "the test set was read 2 times" in more.stdout

    best = copied / "optim_search-quick" / "best_config.toml"
    exported = inside(["studies", "export", *tiny(copied), "--out", str(tmp_path / "x")])
    assert exported.returncode == 0, exported.stderr
    assert tomllib.loads((tmp_path / "x").read_text()) == tomllib.loads(best.read_text())


def test_a_study_of_other_settings_is_refused_or_begun_afresh(copied, here, warm_workers):  # noqa: F811
    """``--fresh`` moves the old study aside and loses nothing."""
    options = [*tiny(copied, trials=3), "--workers", "1"]
    other = inside(["studies.run", *options, "--set", "batch_size=128"])
    assert other.returncode == 1 and "--fresh" in other.stderr and "batch_size" in other.stderr
    fresh = here("studies.run", *tiny(copied, trials=2), "--fresh", "--engine", "inline")
    assert fresh.returncode == 0, fresh.stderr
    assert len(states(copied)) == 2
    aside = [path for path in copied.iterdir() if path.name.startswith("optim_search-quick.")]
    assert len(aside) == 1 and (aside[0] / "best_config.toml").is_file()


@pytest.mark.long
def test_a_terminal_gets_the_live_view(tmp_path):
    if sys.platform != "linux":
        pytest.skip("needs script(1) of util-linux")
    import shlex

    arguments = [sys.executable, "-m", "studies.run", *tiny(tmp_path, trials=12), "--workers", "1"]
    done = subprocess.run(
        ["script", "-qec", f"stty cols 100 rows 40; {shlex.join(arguments)}", "/dev/null"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color"},  # script(1) takes a missing one for "dumb"
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Search" in done.stdout and "complete" in done.stdout and "best so far" in done.stdout
    assert "report.md" in done.stdout
