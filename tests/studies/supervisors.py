"""Real supervisors of the toy study: start them, read what they leave."""

import json
import os
from pathlib import Path

import optuna
import programs
import pytest
from waiting import PATIENCE

from studies.storage.open import close_storage, open_storage

HERE = Path(__file__).resolve().parent
PATH = os.pathsep.join(map(str, (HERE.parents[1], HERE, HERE.parent)))


@pytest.fixture
def start(monkeypatch):
    """Starts one; see ``toy_supervisor.py``. None outlives the test."""
    programs.fork_workers(monkeypatch)
    started = []

    def start_one(folder, **options):
        given = json.dumps({"folder": str(folder), **options})
        process = programs.start_script(HERE / "toy_supervisor.py", given)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def until_it_says(process, line):
    """Read what it prints up to ``line``."""
    while (said := process.stdout.readline()) != f"{line}\n":
        assert said, process.stderr.read()


def finish(process, *, code=0):
    """Wait for it; return the lines that it printed."""
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, (out, errors)
    assert "Traceback" not in errors, errors
    return out.splitlines()


def url_of(folder):
    return f"sqlite:///{folder / 'toy' / 'study.db'}"


def trials(url, name="toy"):
    """All trials of a phase as the storage holds them; none where it has not begun."""
    storage = open_storage(url, create=False)
    try:
        if name not in optuna.get_all_study_names(storage):
            return []
        study = optuna.load_study(study_name=name, storage=storage)
        return study.get_trials(deepcopy=False)
    finally:
        close_storage(storage)


def results(url, name="toy"):
    """What must be the same: number, state, params, seed, value, curve."""
    return [
        (
            trial.number,
            trial.state.name,
            trial.params,
            trial.user_attrs.get("seed"),
            trial.value,
            trial.intermediate_values,
        )
        for trial in trials(url, name)
    ]
