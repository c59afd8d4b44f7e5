"""The toy study at any storage, and the trail that it leaves there."""

import dataclasses

import optuna
import pytest
from toy import TestSet, Toy, make_plan

from studies.engines.inline import Inline
from studies.protocol import phases
from studies.protocol.control import Control
from studies.protocol.phases import run_study
from studies.storage.contents import read_content
from studies.storage.open import close_storage, open_storage

MADE_UP = ("test", "runs", "identity", "folders")
"""What is another one in each study: times, a random identity, where it ran."""


def plan_at(folder, url=None):
    """A small plan, kept at ``url``; None: in an SQLite file in its folder."""
    plan = make_plan(folder, trials=9, seeds=2, sqlite=True)
    return dataclasses.replace(plan, storage_url=url or plan.storage_url)


def describe(plan):
    return {"versions": {"torch": "x"}}


@pytest.fixture
def quiet(monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    monkeypatch.setattr(phases.fingerprint, "describe", describe)


def run(plan, toy, **options):
    def objective(plan, keep_models):
        toy.keep_models = keep_models
        return toy

    control = options.pop("control", None) or Control(Inline())
    return run_study(plan, control, objective=objective, read_test=TestSet(), **options)


def trail(url):
    """All that a study left, less the times of day, and the order in which it came."""
    storage = open_storage(url, create=False)
    found = {}
    for name in ("toy", "toy.confirm"):
        content = read_content(storage, name)
        found[name] = (
            content.directions,
            {k: v for k, v in content.user_attrs.items() if k not in MADE_UP},
            content.system_attrs,
            [
                (
                    trial.number,
                    trial.state,
                    trial.values,
                    trial.params,
                    trial.distributions,
                    {k: v for k, v in trial.user_attrs.items() if k not in ("seconds", "order")},
                    trial.system_attrs,
                    trial.intermediate_values,
                    trial.datetime_start is None,
                    trial.datetime_complete is None,
                )
                for trial in content.trials
            ],
        )
    close_storage(storage)
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The trail of an undisturbed run in SQLite."""
    plan = plan_at(tmp_path_factory.mktemp("reference"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", describe)
        run(plan, Toy())
    return trail(plan.storage_url)
