"""Numeric scientific parameters: their levels, and the trend over them."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_this_process import here  # noqa: F401
from toyland import toyland  # noqa: F401

import studies
from mnist_core.errors import ConfigError
from search_spaces.space import Choice, Float, Int, Space, SpaceError
from studies.core.levels import as_levels
from studies.report.trend_text import trend_words
from studies.spec import StudySpec
from studies.statistics.estimates import Estimate, Part
from studies.statistics.trend import is_log, trend

INLINE = {"engine.name": "inline", "tracking.trackers": []}


@pytest.mark.parametrize(
    ("parameter", "asked", "levels"),
    [
        (Float(0.0, 1.0), None, (0.0, 0.25, 0.5, 0.75, 1.0)),
        (Float(1e-4, 1.0, log=True), None, (1e-4, 1e-3, 1e-2, 1e-1, 1.0)),
        (Int(1, 16, log=True), None, (1, 2, 4, 8, 16)),
        (Int(1, 3), None, (1, 2, 3)),
        (Int(8, 64, step=8), 3, (8, 40, 64)),
        (Float(0.0, 0.9, step=0.3), 4, (0.0, 0.3, 0.6, 0.9)),
        (Int(8, 64), (32, 8), (8, 32)),
    ],
)
def test_levels_lie_evenly_in_the_range(parameter, asked, levels):
    found = as_levels(parameter, asked)
    assert found.choices == levels
    assert all(parameter.problem(value) is None for value in found.choices)


@given(
    low=st.floats(1e-6, 1e3),
    times=st.floats(1.001, 1e6),
    log=st.booleans(),
    count=st.integers(2, 12),
)
def test_levels_are_always_in_the_range(low, times, log, count):
    parameter = Float(low, low * times, log=log)
    found = as_levels(parameter, count).choices
    assert found[0] == parameter.low and found[-1] == parameter.high
    assert list(found) == sorted(set(found)) and len(found) <= count
    assert all(parameter.problem(value) is None for value in found)


@pytest.mark.parametrize("asked", [1, True, "3", (0.5,), (0.5, 2.0), 2.5, ("a", "b")])
def test_levels_that_cannot_be(asked):
    with pytest.raises(SpaceError):
        as_levels(Float(0.0, 1.0), asked)


def estimates(means, variance=0.01, freedom=20.0):
    part = Part(variance=variance, freedom=freedom, source="luck")
    return {str(i): Estimate(mean=mean, n=4, parts=(part,)) for i, mean in enumerate(means)}


def trend_over(levels, means, **more):
    named = {str(i): float(level) for i, level in enumerate(levels)}
    return trend(named, estimates(means, **more), sign=1.0, level=0.05)


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ([0, 1, 2, 3, 4], "better towards larger values"),
        ([4, 3, 2, 1, 0], "better towards smaller values"),
        ([0, 3, 4, 3, 0], "best at about 3, worse towards both ends"),
        ([4, 1, 0, 1, 4], "worst at about 3, better towards both ends"),
        ([0, 3, 5, 6, 6], "better towards larger values up to about 4.5"),
        ([0, 0.1, 0.6, 1.5, 3], "better towards larger values from about 1.38 on"),
        ([0, 1.9, 3.6, 5.1, 6.4], "better towards larger values, less and less"),
    ],
)
def test_what_is_said(means, words):
    found = trend_over([1, 2, 3, 4, 5], means, variance=1e-6)
    assert trend_words(found) == words and found.told
    assert found.curve[0][0] == 1 and found.curve[-1][0] == 5


def test_equal_means_have_no_trend():
    found = trend_over([1, 2, 3, 4], [0.98, 0.98, 0.98, 0.98], variance=1e-12)
    assert not found.told and found.change.mean == 0 and found.bend.mean == pytest.approx(0)


def test_three_levels_have_a_line_and_two_have_nothing():
    three = trend_over([1, 2, 3], [0, 1, 2])
    assert three.bend is None and three.up == 1
    assert trend_over([1, 2], [0, 1]) is None
    assert trend_over([1, 2, 3], [0, 1, 2], variance=float("inf")) is None


def test_a_smaller_metric_may_be_better():
    levels = {str(i): float(i) for i in range(5)}
    found = trend(levels, estimates([0, 1, 2, 3, 4]), sign=-1.0, level=0.05)
    assert found.up == 1 and found.change.mean == pytest.approx(-4)


@settings(max_examples=50)
@given(
    levels=st.lists(st.integers(1, 1000), min_size=4, max_size=8, unique=True),
    slope=st.floats(-3, 3),
    bend=st.floats(-3, 3),
)
def test_it_is_the_weighted_fit_of_a_parabola(levels, slope, bend):
    levels = sorted(levels)
    log = is_log(levels)
    scale = np.log(levels) if log else np.asarray(levels, float)
    places = 2 * (scale - scale[0]) / (scale[-1] - scale[0]) - 1
    found = trend_over(levels, list(0.5 + slope * places + bend * places**2))
    assert found.bend.mean == pytest.approx(-bend, abs=1e-6)
    ends = [one.mean for _, one in found.curve]
    assert ends[-1] - ends[0] == pytest.approx(2 * slope, abs=1e-6)


@pytest.mark.parametrize(
    ("levels", "log"),
    [((32, 64, 128), True), ((1, 2, 3, 4), False), ((1e-4, 1e-2, 1.0), True), ((0, 1, 2), False)],
)
def test_the_scale_is_the_one_on_which_levels_lie_evenly(levels, log):
    assert is_log(levels) is log


def test_numbers_become_choices_of_levels():
    space = Space({"batch_size": Int(16, 256, log=True), "optim.lr": Float(1e-4, 1e-1, log=True)})
    given = {"name": "n", "goal": "?", "scientific": "batch_size", "trials": 20, "space": space}
    spec = StudySpec(**given)
    assert spec.choices == (16, 32, 64, 128, 256) and spec.promised == 4
    assert isinstance(spec.space.parameters["batch_size"], Choice)
    one = StudySpec(**given, levels=3, default={"batch_size": 70, "optim.lr": 1e-3})
    assert one.choices == (16, 64, 256) and one.baseline == 64
    assert one.reference == {"batch_size": 64, "optim.lr": 1e-3}
    with pytest.raises(ConfigError, match="levels"):
        StudySpec(**given, levels=(16, 512))


FILE = """
import dataclasses
from search_spaces.space import Float, Int, Space
from studies.spec import StudySpec

SPACE = Space({"batch_size": Int(16, 256, log=True), "optim.lr": Float(1e-4, 1e-1, log=True)})
STUDY = StudySpec(name="numberland", goal="How large?", space=SPACE, scientific="batch_size",
                  trials=20, default={"batch_size": 64, "optim.lr": 1e-3})
"""


class Sized:
    """Better with larger batches; the best learning rate is .01."""

    def __call__(self, task, report):
        from math import log2, log10
        from random import Random

        from objectives.base import Outcome

        size, lr = task.params["batch_size"], task.params["optim.lr"]
        value = 0.9 + 0.01 * log2(size / 16) - 0.0005 * (log10(lr) + 2) ** 2
        value += Random(f"{size} {task.seed}").gauss(0, 0.0005)
        report(1, {"val_accuracy": value})
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / f"{task.number}.safetensors").write_text("weights")
        return Outcome(metrics={"val_accuracy": value}, attributes={"device": "cpu"})

    def __init__(self, keep):
        self.keep = keep


def test_a_study_of_a_number_tells_its_trend(toyland, here, monkeypatch):  # noqa: F811
    from studies.protocol import phases

    (toyland / "catalog/numberland.py").write_text(FILE)
    (toyland / "conf.toml").write_text("confirm.seeds = 3\n")
    sys.modules.pop("studies.catalog.numberland", None)
    monkeypatch.setattr(phases, "build_objective", lambda plan, keep: Sized(keep))
    ran = studies.run("numberland", set=INLINE, plain=True)
    found = ran.result["verdict"]["trend"]
    assert found["towards"] == "larger" and found["told"] and found["log"]
    assert found["change"]["n"] == 5 and found["change"]["low"] > 0
    assert any("larger" in line for line in ran.result["verdict"]["sentences"])
    assert set(ran.table.index) == {"16", "32", "64", "128", "256", "64 (default)"}
    done = here("studies", "report", "numberland")
    page = (toyland / "results/numberland/report.html").read_text()
    assert done.returncode == 0 and "Trend over batch_size" in page
    status = here("studies", "status", "numberland", "--json")
    assert json.loads(status.stdout)["result"]["verdict"]["trend"] == found
