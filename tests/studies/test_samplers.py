"""Samplers by name."""

import warnings

import optuna
import pytest
from toy_plans import SPACE

from mnist_core.errors import ConfigError
from studies.distributions import suggest
from studies.samplers import create_sampler, try_sampler


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_each_proposes_the_same_for_the_same_seed_and_is_silent(name):
    def propose(seed):
        study = optuna.create_study(sampler=create_sampler(name, {}, seed=seed))
        params = []
        for _ in range(14):
            trial = study.ask()
            params.append(suggest(SPACE, trial))
            study.tell(trial, params[-1]["x"])
        return params

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert propose(1) == propose(1)
        assert propose(1) != propose(2)


def test_tpe_is_told_of_the_workers_and_the_choices():
    def sampler(**arguments):
        return create_sampler("tpe", {}, seed=0, **arguments)

    assert not sampler(workers=1)._constant_liar
    assert sampler(workers=2)._constant_liar
    assert sampler(choices=3)._n_startup_trials == 10
    assert sampler(choices=9)._n_startup_trials == 18


def test_options_replace_the_defaults():
    sampler = create_sampler("tpe", {"n_startup_trials": 3}, seed=0)
    assert sampler._n_startup_trials == 3


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("tpa", {}, "did you mean 'tpe'"),
        ("tpe", {"n_startup_trial": 3}, "did you mean 'n_startup_trials'"),
        ("random", {"seed": 3}, "unknown option 'seed'"),
        ("tpe", {"gamma": 5}, "unknown option 'gamma'"),  # a function
        ("tpe", {"n_startup_trials": "ten"}, "n_startup_trials must be int, but got 'ten'"),
        ("tpe", {"n_startup_trials": 1.5}, "n_startup_trials must be int, but got 1.5"),
        ("tpe", {"multivariate": 1}, "multivariate must be bool, but got 1"),
        ("tpe", {"prior_weight": "x"}, "prior_weight must be float or int, but got 'x'"),
    ],
)
def test_mistakes(name, options, part):
    with pytest.raises(ConfigError, match=part):
        create_sampler(name, options, seed=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tpe", {"n_ei_candidates": 0}),
        ("tpe", {"prior_weight": -1.0}),
        ("tpe", {"prior_weight": float("nan")}),
        ("tpe", {"multivariate": False}),  # `group` needs it
    ],
)
def test_what_optuna_refuses_late_is_refused_at_once(name, options):
    with pytest.raises(ConfigError, match=r"search\.sampler_options \(tpe\): ."):
        try_sampler(name, options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tpe", {"n_startup_trials": 1000, "prior_weight": 2}),
        ("tpe", {"consider_endpoints": True}),  # goes in Optuna 6, and warns
        ("tpe", {"multivariate": False, "group": False}),
        ("random", {}),
    ],
)
def test_good_options_are_tried_in_silence(name, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try_sampler(name, options)
