"""The private parts of Ray: what happens if another Ray lacks one of them."""

import logging
import os
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import PopulationBasedTraining, pbt

from mnist_core.errors import UserError
from studies.engines.ray import ray_internals


@pytest.fixture(autouse=True)
def unchecked():
    ray_internals.check_pbt.cache_clear()
    yield
    ray_internals.check_pbt.cache_clear()


def only_line(caplog):
    [record] = [r for r in caplog.records if r.name == ray_internals.__name__]
    return record.getMessage()


def test_what_is_there_passes(caplog):
    with caplog.at_level(logging.WARNING):
        ray_internals.check_pbt()
        ray_internals.read_environment()
        ray_internals.silence()
    assert not caplog.records


@pytest.mark.parametrize(
    ("lacks", "call"),
    [
        ("ray._raylet.Config", ray_internals.read_environment),
        ("ray._private.ray_logging.global_worker_stdstream_dispatcher", ray_internals.silence),
    ],
)
def test_without_a_part_one_line_says_so(lacks, call, caplog, monkeypatch):
    monkeypatch.delattr(lacks)
    with caplog.at_level(logging.WARNING):
        call()
    said = only_line(caplog)
    assert ray_internals.TESTED in said and "\n" not in said


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (PopulationBasedTraining, "_quantiles"),
        (PopulationBasedTraining, "_get_new_config"),
        (pbt, "_PBTTrialState"),
    ],
)
def test_a_population_needs_its_parts_of_tune(owner, name, monkeypatch):
    monkeypatch.delattr(owner, name)
    with pytest.raises(UserError, match=name) as caught:
        ray_internals.check_pbt()
    assert f"Ray {ray_internals.TESTED}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_that_takes_something_else(monkeypatch):
    monkeypatch.setattr(PopulationBasedTraining, "_get_new_config", lambda self, trial: {})
    with pytest.raises(UserError, match="_get_new_config"):
        ray_internals.check_pbt()


def test_a_trial_that_does_not_tell_its_worker():
    worker = object()
    trial = SimpleNamespace(temporary_state=SimpleNamespace(ray_actor=worker))
    assert ray_internals.actor_of(trial) is worker
    with pytest.raises(UserError, match="another engine"):
        ray_internals.actor_of(SimpleNamespace())


def test_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("STUDIES_A", "before")
    monkeypatch.delenv("STUDIES_B", raising=False)
    with ray_internals.environment({"STUDIES_A": "1", "STUDIES_B": "2"}):
        assert (os.environ["STUDIES_A"], os.environ["STUDIES_B"]) == ("1", "2")
    assert os.environ["STUDIES_A"] == "before" and "STUDIES_B" not in os.environ
