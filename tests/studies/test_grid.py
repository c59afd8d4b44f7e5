"""The grid: every combination once, nothing outside of the space, mistakes in one line."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import SPEC, make_plan

from mnist_core.errors import ConfigError
from search_spaces.space import Choice, Float, Int, Space, When
from studies.search.enqueued import identity, point_of
from studies.search.grid import Grid
from studies.search.sources import SearchSource

SPACE = Space(
    {
        "kind": Choice(("a", "b")),
        "a.lr": Float(1e-4, 1e-1, log=True, when=When("kind", ("a",))),
        "depth": Int(2, 4),
        "share": Float(0.0, 1.0, step=0.25, when=When("kind", ("b",))),
    }
)


def test_every_combination_of_every_branch_once():
    grid = Grid(SPACE, "kind", {"points": 4})
    points = grid.points(0)
    assert grid.size == len(points) == 4 * 3 + 3 * 4
    assert len({identity(point) for point in points}) == len(points)
    for point in points:
        SPACE.check(point)
    rates = sorted({point["a.lr"] for point in points if "a.lr" in point})
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert rates[0] == 1e-4 and rates[-1] == 1e-1  # exactly: they are the bounds
    assert {p["depth"] for p in points} == {2, 3, 4}  # fewer values than points: all
    assert {p["share"] for p in points if "share" in p} == {0.0, 0.25, 0.75, 1.0}


def test_points_that_are_equal_after_rounding_are_one(tmp_path):
    """Three steps of 0.1 are 0.3, as a default is written, and so is a third of a decade scale."""
    space = Space(
        {
            "optim.name": Choice(("sgd", "adam")),
            "augment.shift": Float(0.0, 0.4, step=0.1),
            "optim.lr": Float(1e-4, 1e-1, log=True),
        }
    )
    default = {"augment.shift": 0.3, "optim.lr": 0.001}
    spec = dataclasses.replace(SPEC, space=space, defaults=dict.fromkeys(("sgd", "adam"), default))
    search = {"sampler": "grid", "sampler_options": {"points": 4}, "pruner": "none"}
    search["sampler_options"] |= {"augment.shift": [0.0, 0.1, 0.2, 0.1 + 0.2]}
    plan = dataclasses.replace(make_plan(tmp_path, trials=99, search=search), spec=spec)
    source = SearchSource(plan)
    asked = [source.request(number).params for number in range(source.total)]
    assert source.total == len({point_of(params) for params in asked}) == 2 * 4 * 4
    assert {params["augment.shift"] for params in asked} == {0.0, 0.1, 0.2, 0.3}
    assert Grid(space, "optim.name", {"points": 9}).values["augment.shift"] == [
        0,
        0.1,
        0.2,
        0.3,
        0.4,
    ]
    assert space.parameters["augment.shift"].snapped(0.05) == 0.05


def test_the_order_is_the_seeds():
    grid = Grid(SPACE, "kind", {"points": 3})
    assert grid.points(1) == grid.points(1)
    assert grid.points(1) != grid.points(2)
    assert sorted(map(identity, grid.points(1))) == sorted(map(identity, grid.points(2)))


def test_listed_values_and_tables_as_the_settings_make_them():
    grid = Grid(SPACE, "kind", {"a": {"lr": [0.01, 0.1]}, "kind": ["a"], "depth": [3]})
    assert sorted(p["a.lr"] for p in grid.points(0)) == [0.01, 0.1]
    assert grid.size == 2


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, r"a\.lr is continuous; set search\.sampler_options\.points"),
        ({"points": 1}, "points must be 2 to"),
        ({"points": 2.0}, "points must be 2 to"),
        ({"points": True}, "points must be 2 to"),
        ({"points": 3, "a": {"rl": [0.1]}}, r"unknown option 'a\.rl'; did you mean 'a\.lr'"),
        ({"a": {"lr": 0.1}}, "must be a list of values, but got 0.1"),
        ({"a": {"lr": []}}, "must be a list of values"),
        ({"a": {"lr": [0.5]}}, r"must lie in \[0.0001, 0.1\], but got 0.5"),
        ({"points": 3, "share": [0.3]}, "a multiple of 0.25"),
        ({"points": 3, "kind": ["c"]}, "must be one of a, b"),
        ({"points": 3, "depth": [2, 2]}, "must all be different"),
    ],
)
def test_mistakes(options, part):
    with pytest.raises(ConfigError, match=part) as caught:
        Grid(SPACE, "kind", options)
    assert "\n" not in str(caught.value)


def test_a_grid_that_fits_no_memory_is_refused():
    space = Space({"kind": Choice(("a", "b"))} | {f"x{i}": Float(0.0, 1.0) for i in range(12)})
    with pytest.raises(ConfigError, match="2,000,000,000,000"):
        Grid(space, "kind", {"points": 10})


@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
    points=st.integers(2, 30),
    log=st.booleans(),
    whole=st.booleans(),
)
def test_values_are_in_the_range_and_hold_both_ends(low, width, points, log, whole):
    if whole:
        start = max(1, round(low)) if log else round(low)
        parameter = Int(start, start + max(1, round(width)), log=log)
    else:
        start = abs(low) + 1e-6 if log else low
        parameter = Float(start, start + width, log=log)
    space = Space({"kind": Choice(("a",)), "x": parameter})
    values = Grid(space, "kind", {"points": points}).values["x"]
    assert 2 <= len(values) <= points
    assert [parameter.problem(value) for value in values] == [None] * len(values)
    assert (values[0], values[-1]) == (parameter.low, parameter.high)
