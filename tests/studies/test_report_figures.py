"""The numbers under the report's figures."""

import dataclasses
import itertools
import math
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_search import write_study
from toy import SPEC, make_plan

from search_spaces.space import Choice, Float, Space
from studies.analysis import figure_data, stored_study
from studies.analysis.figure_data.pareto_fronts import steps
from studies.analysis.figure_data.spread import quartiles
from studies.analysis.scales import Scale, names_scale
from studies.analysis.tendency import tendency
from studies.core.event_log import EventLog
from studies.core.events import Event
from studies.core.goals import Goals
from studies.core.trials import TrialRecord
from studies.planning import lookup
from studies.report import page as html
from studies.report.bars import Bar, draw_bars
from studies.report.blocks import Figure
from studies.report.page import gather
from studies.report.svg import Chart
from studies.spec import StudySpec

NOON = datetime(2026, 1, 1, 12)


def trial(number, value=0.5, *, state="COMPLETE", params=None, curve=None, begin=0.0, end=1.0):
    return TrialRecord(
        number=number,
        state=state,
        params=params or {},
        seed=0,
        value=value,
        values=(value,),
        curve=curve or {},
        metrics={},
        seconds=end - begin,
        started=NOON + timedelta(seconds=begin),
        ended=NOON + timedelta(seconds=end),
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_quartiles_are_those_of_numpy(values):
    assert quartiles(values) == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=1, max_size=40))
def test_no_two_trials_share_a_worker_at_once(times):
    trials = [trial(n, begin=begin, end=begin + took) for n, (begin, took) in enumerate(times)]
    found = figure_data.timeline(trials, [])
    assert sorted(span.number for span in found.spans) == list(range(len(trials)))
    for lane in range(found.lanes):
        mine = sorted((s.begin, s.end) for s in found.spans if s.lane == lane)
        assert mine and all(a[1] <= b[0] + 1e-6 for a, b in itertools.pairwise(mine))
    # No more rows than ran at once.
    most = max(sum(s.begin <= t.begin < s.end for s in found.spans) for t in found.spans)
    assert found.lanes == most


def test_bands_leave_out_pruned_trials():
    trials = [
        trial(0, params={"optim.name": "sgd"}, curve={1: 0.1, 2: 0.3}),
        trial(1, params={"optim.name": "sgd"}, curve={1: 0.3, 2: 0.5}),
        trial(2, state="PRUNED", params={"optim.name": "sgd"}, curve={1: 0.9}),
        trial(3, params={"optim.name": "adam"}, curve={1: 0.4, 2: math.nan}),
    ]
    curves = {one.number: one.curve for one in trials}
    sgd, adam = figure_data.bands(SPEC, trials, curves)
    assert (sgd.choice, sgd.trials) == ("sgd", 2)
    assert sgd.mean == [(1.0, pytest.approx(0.2)), (2.0, pytest.approx(0.4))]
    assert [y for _, y in sgd.low] == pytest.approx([0.15, 0.35])
    assert adam.mean == [(1.0, 0.4)]


def test_losses_come_from_the_log(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path, print)
    for number, phase in ((0, "search"), (1, "search"), (0, "confirm")):
        data = {"step": 1, "metrics": {"val_loss": 0.5 + number, "val_accuracy": 0.9}}
        log(Event(kind="report", phase=phase, trial=number, data=data))
    log.close()
    with path.open("ab") as file:
        file.write(b'{"kind": "report", "phase": "search", "trial": 7, "data": {"step"')
    assert figure_data.losses(path) == {"val_loss": {0: {1: 0.5}, 1: {1: 1.5}}}
    assert figure_data.losses(tmp_path / "nothing") == {}


def two_parameters(direction):
    space = Space({"x": Float(0.0, 1.0), "noise": Float(0.0, 1.0), "kind": Choice(("a", "b"))})
    return StudySpec(name="two", goal="Which?", space=space, trials=9, direction=direction)


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_the_sign_is_where_better_trials_lie(direction, sign):
    spec = two_parameters(direction)
    trials = [
        trial(n, n / 20, params={"x": n / 20, "noise": (n * 7 % 20) / 20, "kind": "ab"[n // 10]})
        for n in range(20)
    ]
    assert tendency(spec, trials, "x").sign == sign
    assert tendency(spec, trials, "noise").sign == 0
    assert tendency(spec, trials, "kind").mark == ("b" if sign > 0 else "a")
    assert tendency(spec, trials[:3], "x").sign == 0


PLACES = st.tuples(st.integers(0, 20), st.integers(1, 20))


@given(st.lists(PLACES, min_size=1, max_size=12, unique=True))
def test_steps_are_the_best_metric_for_each_bound(places):
    goals = Goals(metric="val_accuracy", direction="maximize", further={"seconds": "minimize"})
    trials = [
        dataclasses.replace(trial(n, float(value)), values=(float(value), float(cost)))
        for n, (value, cost) in enumerate(places)
    ]
    line = steps(goals, trials, 1)
    costs = [x for x, _ in line]
    assert costs == sorted(costs)
    for bound in range(min(c for _, c in places), 21):
        best = max(value for value, cost in places if cost <= bound)
        assert max(y for x, y in line if x <= bound) == best


def test_two_parameters_are_coloured_by_fifths(tmp_path):
    plan = make_plan(tmp_path)
    write_study(plan, 60)
    found = stored_study.read(plan)
    (plane,) = figure_data.planes(SPEC.space, found.search, ["optim.name", "adam.lr"], 1.0, most=3)
    assert plane.names == ("optim.name", "optim.lr")
    values = [[record.value for record, _ in one] for one in plane.classes]
    assert sum(map(len, values)) == len(figure_data.complete(found.search))
    ends = [(min(one), max(one)) for one in values]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


def test_a_front_has_its_confirmed_points_default_and_limit(tmp_path):
    sets = {"results.folder": str(tmp_path), "search.constraints": {"parameters": 150_000}}
    plan = lookup.find("size_search", sets=sets).with_data("x")
    write_study(plan, 30, pruned=0.0, failed=0.0)
    found = stored_study.read(plan)
    (front, *_) = figure_data.fronts(found.result, found.search)
    assert front.limit == 150_000 and front.confirmed
    drawn = {one.title: one for one in gather(found).blocks if isinstance(one, Figure)}
    figure = drawn["val_accuracy and parameters"]
    assert str(figure.svg).count("diamond test") == len(front.confirmed)
    assert str(figure.svg).count("square test") == (front.default is not None)
    assert "line limit" in str(figure.svg) and "limit" in figure.caption


def test_bars_of_different_kinds_have_different_patterns():
    patterns = []
    for kind in ("complete", "pruned", "failed", "confirm"):
        chart = Chart(Scale(0, 10), names_scale(["a"]), "bars", "x", "y")
        draw_bars(chart, [Bar(0, 1, 9, "title")], kind)
        svg = str(chart.render())
        patterns.append(svg.partition("hatch")[2].partition('"/>')[0].replace(kind, ""))
    assert len(set(patterns)) == 3 and patterns[0] == patterns[2] == ""  # failed bars are empty
    chart = Chart(Scale(0, 1), names_scale(["a"]), "bars", "x", "y")
    draw_bars(chart, [Bar(0, n / 5000, (n + 0.9) / 5000) for n in range(5000)], "complete")
    assert len(str(chart.render())) < 3000  # what cannot be told apart is one bar


@pytest.mark.parametrize(
    ("trials", "most"),
    [
        (60, 250_000),
        pytest.param(2_000, 800_000, marks=pytest.mark.long),
        pytest.param(10_000, 1_000_000, marks=pytest.mark.long),
    ],
)
def test_a_page_stays_small(tmp_path, trials, most):
    plan = make_plan(tmp_path, sqlite=trials > 60)
    write_study(plan, trials)
    assert len(html.render([gather(stored_study.read(plan))]).encode()) <= most
