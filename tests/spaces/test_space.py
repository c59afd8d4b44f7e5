"""Spaces: what they refuse, and what holds for every space."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.space import Choice, Float, Int, Parameter, Space, SpaceError, When

TINY = Space(
    {
        "optim.name": Choice(("sgd", "adam")),
        "sgd.lr": Float(1e-3, 1.0, log=True, sets="optim.lr", when=When("optim.name", ("sgd",))),
        "adam.lr": Float(1e-4, 0.1, log=True, sets="optim.lr", when=When("optim.name", ("adam",))),
        "adam.variant": Choice(("plain", "amsgrad"), when=When("optim.name", ("adam",))),
        "adam.eps": Float(0, 1, step=0.1, when=When("adam.variant", ("amsgrad",))),
        "epochs": Int(1, 9, step=2),
    }
)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Float(1.0, 1.0), "Float: low must be below high, but got low=1.0, high=1.0"),
        (lambda: Float(2, 1), "low must be below high"),
        (lambda: Float(0, 1, log=True), "low must be above 0 for log=True, but got low=0.0"),
        (lambda: Float(float("nan"), 1), "low must be a finite number, but got nan"),
        (lambda: Float(0, float("inf")), "high must be a finite number, but got inf"),
        (lambda: Float("0", 1), "low must be a finite number, but got '0'"),  # type: ignore
        (lambda: Float(0, 1, step=0.3), "step must divide high - low"),
        (lambda: Float(0, 1, step=0), "step must be above 0"),
        (lambda: Float(0, 1, step=-0.5), "step must be above 0"),
        (lambda: Float(1, 2, step=0.5, log=True), "step and log exclude each other"),
        (lambda: Float(1, 2, log="yes"), "log must be True or False"),  # type: ignore
        (lambda: Int(3, 3), "Int: low must be below high"),
        (lambda: Int(0, 8, log=True), "low must be above 0"),
        (lambda: Int(0, 1.5), "high must be a whole number, but got 1.5"),  # type: ignore
        (lambda: Int(True, 2), "low must be a whole number, but got True"),
        (lambda: Int(0, 9, step=2), "step must divide high - low"),
        (lambda: Choice(()), "at least one value"),
        (lambda: Choice("abc"), "give a tuple"),  # type: ignore
        (lambda: Choice(("a", "b", "a")), "must all be different, but got a, b, a"),
        (lambda: Choice((1, True)), "must all be different"),
        (lambda: Choice((0.0, float("nan"))), "plain and finite, but got nan"),
        (lambda: Choice(((1, 2), (3, 4))), "plain and finite, but got (1, 2)"),  # type: ignore
        (lambda: When("a", ()), "at least one value"),
        (lambda: Space({}), "needs at least one parameter"),
        (lambda: Space({"": Int(0, 1)}), "name must be like 'optim.lr', but got ''"),
        (lambda: Space({"a b": Int(0, 1)}), "but got 'a b'"),
        (lambda: Space({"a": 3}), "a: must be a Float, Int or Choice, but got 3"),  # type: ignore
        (lambda: Space({"a": Int(0, 1, sets="x..y")}), "a: sets must be like"),
        (
            lambda: Space({"a": Int(0, 1, when=When("b", (1,))), "b": Choice((1, 2))}),
            "a: when must name a Choice that stands earlier in the space (none so far)",
        ),
        (lambda: Space({"b": Int(1, 2), "a": Int(0, 1, when=When("b", (1,)))}), "but got 'b'"),
        (
            lambda: Space({"b": Choice(("x", "y")), "a": Int(0, 1, when=When("b", ("z",)))}),
            "a: when asks for b = 'z', which has only x, y",
        ),
        (
            lambda: Space({"b": Choice((1, 2)), "a": Int(0, 1, when=When("b", (True,)))}),
            "a: when asks for b = True",
        ),
        (
            lambda: Space({"a": Int(0, 1, sets="x"), "b": Int(0, 1, sets="x")}),
            "b: sets 'x' as a does, at the same time",
        ),
        (
            lambda: Space(
                {
                    "c": Choice((1, 2)),
                    "a": Int(0, 1, sets="x", when=When("c", (1, 2))),
                    "b": Int(0, 1, sets="x", when=When("c", (2,))),
                }
            ),
            "b: sets 'x' as a does, at the same time ({'c': 2})",
        ),
    ],
)
def test_wrong_spaces_are_refused_in_one_line(make, says):
    with pytest.raises(SpaceError) as error:
        make()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_conditions_decide_what_exists():
    assert TINY.active({"optim.name": "sgd"}) == ("optim.name", "sgd.lr", "epochs")
    assert TINY.active({"optim.name": "adam", "adam.variant": "amsgrad"}) == (
        *("optim.name", "adam.lr", "adam.variant", "adam.eps", "epochs"),
    )
    # adam.variant does not exist for sgd, so what depends on it does not either.
    assert TINY.active({"optim.name": "sgd", "adam.variant": "amsgrad"}) == (
        *("optim.name", "sgd.lr", "epochs"),
    )
    assert TINY.active({}) == ("optim.name", "epochs")


def test_branches_are_the_reachable_combinations():
    assert TINY.branches() == [
        {"optim.name": "sgd"},
        {"optim.name": "adam", "adam.variant": "plain"},
        {"optim.name": "adam", "adam.variant": "amsgrad"},
    ]
    assert Space({"a": Choice((1, 2)), "b": Int(0, 1)}).branches() == [{}]


def test_settings_are_what_the_parameters_set():
    params = {"optim.name": "sgd", "sgd.lr": 0.1, "epochs": 3}
    TINY.check(params)
    assert TINY.settings(params) == {"optim.name": "sgd", "optim.lr": 0.1, "epochs": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sgd.lr": None}, "sgd.lr: must be a finite number, but got None"),
        ({"sgd.lr": 1.01}, "sgd.lr: must lie in [0.001, 1], but got 1.01"),
        ({"sgd.lr": "0.1"}, "sgd.lr: must be a finite number, but got '0.1'"),
        ({"epochs": 2}, "epochs: must be 1 plus a multiple of 2, but got 2"),
        ({"epochs": True}, "epochs: must be a whole number, but got True"),
        ({"epochs": 3.0}, "epochs: must be a whole number, but got 3.0"),
        ({"optim.name": "lion"}, "optim.name: must be one of sgd, adam, but got 'lion'"),
        ({"adam.lr": 0.01}, "adam.lr: exists only when optim.name is adam, but optim.name is"),
        ({"width": 3}, "width: "),
    ],
)
def test_wrong_points_are_refused_in_one_line(change, says):
    with pytest.raises(SpaceError) as error:
        TINY.check({"optim.name": "sgd", "sgd.lr": 0.1, "epochs": 3, **change})
    assert says in str(error.value)


def test_a_missing_parameter_is_named():
    with pytest.raises(SpaceError, match=r"sgd\.lr: "):
        TINY.check({"optim.name": "sgd", "epochs": 3})


def test_a_space_does_not_change_with_the_mapping_it_was_made_of():
    parameters: dict[str, Parameter] = {"a": Int(0, 1)}
    space = Space(parameters)
    parameters["b"] = Int(0, 1)
    assert list(space.parameters) == ["a"]


def test_spaces_travel_to_workers():
    assert pickle.loads(pickle.dumps(TINY)) == TINY


def test_to_dict_is_json_and_tells_spaces_apart():
    text = json.dumps(TINY.to_dict(), allow_nan=False)
    assert json.loads(text) == TINY.to_dict()
    other = Space({**TINY.parameters, "epochs": Int(1, 11, step=2)})
    assert other.to_dict() != TINY.to_dict()
    # 0 and 0.0 are the same bound.
    assert Space({"a": Float(0, 1)}).to_dict() == Space({"a": Float(0.0, 1.0)}).to_dict()


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def parameters(draw: st.DrawFn, when: When | None = None) -> Parameter:
    kind = draw(
        st.sampled_from(["float", "log", "stepped", "int", "int log", "int step", "choice"])
    )
    if kind == "choice":
        values = draw(st.lists(st.text(max_size=3) | st.none(), min_size=1, unique=True))
        return Choice(tuple(values), when=when)
    if kind.startswith("int"):
        low, step = draw(st.integers(1, 100)), draw(st.integers(1, 5))
        high = low + step * draw(st.integers(1, 20))
        return Int(
            low,
            high,
            log=kind == "int log",
            step=step if kind == "int step" else None,
            when=when,
        )
    low = abs(draw(NUMBERS)) + 1e-6 if kind == "log" else draw(NUMBERS)
    if kind == "stepped":
        step = draw(st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.0]))
        low = draw(st.integers(-10, 10)) * 1.0
        high = round(low + draw(st.integers(1, 20)) * step, 6)
        return Float(low, high, step=step, when=when)
    return Float(low, low + draw(st.floats(0.1, 1e3)), log=kind == "log", when=when)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces with conditions on conditions."""
    made: dict[str, Parameter] = {}
    for index in range(draw(st.integers(1, 6))):
        earlier = [n for n, p in made.items() if isinstance(p, Choice)]
        when = None
        if earlier and draw(st.booleans()):
            name = draw(st.sampled_from(earlier))
            choices = made[name].choices  # type: ignore[union-attr]
            values = draw(st.lists(st.sampled_from(choices), min_size=1, unique=True))
            when = When(name, tuple(values))
        made[f"p{index}"] = draw(parameters(when))
    return Space(made)


def _end(parameter: Parameter, high: bool) -> object:
    if isinstance(parameter, Choice):
        return parameter.choices[-1 if high else 0]
    return parameter.high if high else parameter.low


@given(spaces(), st.data())
def test_walking_gives_points_and_bounds_are_inclusive(space: Space, data: st.DataObject):
    point = space.walk(lambda name, parameter: _end(parameter, data.draw(st.booleans())))
    space.check(point)
    assert tuple(point) == space.active(point)


@given(spaces())
def test_every_branch_is_walked_and_no_other(space: Space):
    seen = []
    for branch in space.branches():
        point = space.walk(lambda name, p, b=branch: b.get(name, _end(p, False)))  # type: ignore
        space.check(point)
        assert branch.items() <= point.items()
        seen.append(tuple(sorted(branch.items(), key=str)))
    assert len(set(seen)) == len(seen)


@given(spaces())
def test_a_point_just_outside_is_refused(space: Space):
    point = space.walk(lambda name, p: _end(p, True))
    for name, parameter in space.parameters.items():
        if name in point and not isinstance(parameter, Choice):
            with pytest.raises(SpaceError, match=f"{name}: must"):
                space.check({**point, name: parameter.high + 1})
