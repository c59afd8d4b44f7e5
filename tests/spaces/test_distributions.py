"""Spaces and Optuna: there and back, and Optuna draws points of the space only."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from search_spaces.space import Choice, Float, Int, Space, SpaceError
from studies.search.optuna_bridge import from_distribution, suggest, to_distribution
from tests.spaces.test_space import TINY, parameters, spaces


@given(parameters())
def test_round_trip(parameter):
    distribution = to_distribution(parameter)
    back = from_distribution(distribution, sets=parameter.sets, when=parameter.when)
    if isinstance(parameter, Int) and parameter.step == 1:
        assert back == Int(parameter.low, parameter.high)  # a step of 1 is no step
    else:
        assert back == parameter
    assert to_distribution(back) == distribution


@given(parameters())
def test_optuna_keeps_the_bounds(parameter):
    distribution = to_distribution(parameter)
    if isinstance(parameter, Choice):
        assert distribution.choices == parameter.choices
    else:
        assert (distribution.low, distribution.high) == (parameter.low, parameter.high)
        assert distribution.step == parameter.step or parameter.step is None
    # Stored and read again, as a resumed study does.
    again = optuna.distributions.json_to_distribution(
        optuna.distributions.distribution_to_json(distribution)
    )
    check_distribution_compatibility(distribution, again)


@pytest.mark.parametrize(
    ("distribution", "parameter"),
    [
        (FloatDistribution(1e-4, 1e-1, log=True), Float(1e-4, 1e-1, log=True)),
        (FloatDistribution(0, 1, step=0.25), Float(0.0, 1.0, step=0.25)),
        (IntDistribution(1, 64, log=True), Int(1, 64, log=True)),
        (IntDistribution(2, 10, step=4), Int(2, 10, step=4)),
        (CategoricalDistribution(("a", None, 3)), Choice(("a", None, 3))),
    ],
)
def test_known_distributions(distribution, parameter):
    assert from_distribution(distribution) == parameter
    assert to_distribution(parameter) == distribution


def test_a_distribution_without_a_range_is_refused():
    with pytest.raises(SpaceError, match=r"low.*high"):
        from_distribution(FloatDistribution(1.0, 1.0))


@settings(max_examples=50)
@given(spaces(), st.integers(0, 2**31))
def test_what_optuna_suggests_is_a_point_of_the_space(space: Space, seed: int):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        trial = study.ask()
        params = suggest(space, trial)
        space.check(params)
        assert params == trial.params
        study.tell(trial, 0.0)


@given(spaces(), st.booleans())
@settings(max_examples=50)
def test_the_bounds_can_be_enqueued(space: Space, high: bool):
    def end(name, parameter):
        if isinstance(parameter, Choice):
            return parameter.choices[-1 if high else 0]
        return parameter.high if high else parameter.low

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    point = space.walk(end)
    study = optuna.create_study()
    study.enqueue_trial(point)
    assert suggest(space, study.ask()) == point


def test_a_conditional_space_works_with_tpe():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=0, group=True, n_startup_trials=4)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for _ in range(20):
        trial = study.ask()
        params = suggest(TINY, trial)
        TINY.check(params)
        study.tell(trial, params["epochs"])
