"""The adapters for scripts with Optuna and Ray Tune; test_tutorials.py runs docs/own_scripts.md."""

import optuna
import pytest

from mnist_core.errors import ConfigError
from objectives.base import TrainingError
from objectives.optuna_objective import as_optuna_objective
from objectives.own import Command
from search_spaces.conversion import clip
from search_spaces.space import Choice, Float, Int, Space, SpaceError, When

SPACE = Space(
    {
        "kind": Choice(("a", "b")),
        "lr": Float(1e-3, 1e-1, log=True),
        "share": Float(0.05, 0.45, step=0.1),
        "even": Float(0.1, 0.5, step=0.1),
        "n": Int(1, 8, log=True),
        "width": Int(8, 64, step=8),
        "odd": Int(1, 9, step=2),
        "beta": Float(0.8, 0.95, when=When("kind", ("a",))),
    }
)


def function(params, *, seed, report):
    assert 0 <= seed < 2**62
    for step in (1, 2):
        report(step, {"score": params["lr"] * step})
    return {"score": params["lr"] * 2, "n": params["n"]}


def test_a_function_of_ones_own_in_optuna():
    sampler, pruner = optuna.samplers.RandomSampler(seed=1), optuna.pruners.NopPruner()
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(as_optuna_objective(function, SPACE, seed=0, metric="score"), n_trials=8)
    for trial in study.trials:
        assert trial.value == trial.params["lr"] * 2
        assert list(trial.intermediate_values) == [1, 2]
        SPACE.check(trial.params)
    assert {len(trial.params) for trial in study.trials} == {7, 8}


def test_one_that_takes_params_alone_and_returns_a_number():
    study = optuna.create_study()
    study.optimize(as_optuna_objective(lambda params: params["lr"], SPACE, seed=0), n_trials=2)
    assert all(trial.value == trial.params["lr"] for trial in study.trials)


class WithHooks:
    reports = 1
    prepared = 0

    def prepare(self):
        type(self).prepared += 1

    def __call__(self, params, report):
        report(1, params["lr"])
        return params["lr"]


def test_a_class_of_ones_own_is_prepared_once():
    objective = as_optuna_objective(WithHooks, SPACE, seed=0, metric="score")
    study = optuna.create_study()
    study.optimize(objective, n_trials=3)
    assert WithHooks.prepared == 1
    assert all(trial.value == trial.params["lr"] for trial in study.trials)


def test_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "import json, sys; print(json.dumps({'score': float(sys.argv[1])}))"
    (tmp_path / "train.py").write_text(text)
    study = optuna.create_study()
    study.optimize(
        as_optuna_objective(Command("{python} train.py {lr}"), SPACE, seed=0, metric="score"),
        n_trials=1,
    )
    assert study.trials[0].value == pytest.approx(study.trials[0].params["lr"])


@pytest.mark.parametrize("wrong", [3, lambda: 1, lambda params, other: 1])
def test_what_cannot_be_called_with_params_is_refused(wrong):
    with pytest.raises(ConfigError, match="objective"):
        as_optuna_objective(wrong, SPACE, seed=0)


def test_a_report_without_the_metric_is_named():
    def objective(params, report):
        report(1, {"other": 1.0})

    with pytest.raises(TrainingError, match="score"):
        run_one = as_optuna_objective(objective, SPACE, seed=0, metric="score")
        optuna.create_study().optimize(run_one, n_trials=1)


@pytest.mark.parametrize("found", [None, {"other": 1.0}, "much"])
def test_a_wrong_result_is_named(found):
    objective = as_optuna_objective(lambda params: found, SPACE, seed=0, metric="score")
    with pytest.raises(Exception, match="score") as error:
        optuna.create_study().optimize(objective, n_trials=1)
    assert error.type.__name__ == "TrainingError"


def test_every_config_of_tune_is_a_point_of_the_space():
    domains = SPACE.to_ray()
    assert set(domains) == set(SPACE.parameters)
    seen = set()
    for _ in range(300):
        config = {name: domain.sample() for name, domain in domains.items()}
        params = SPACE.from_ray({**config, "else": 1})
        SPACE.check(params)
        assert ("beta" in params) == (params["kind"] == "a")
        seen |= {(name, params[name]) for name in ("n", "odd", "share", "even", "width")}
    ends = {(name, end) for name in ("n", "odd", "width") for end in _ends(name)}
    assert ends <= seen
    assert {value for name, value in seen if name == "share"} == {0.05, 0.15, 0.25, 0.35, 0.45}


def _ends(name):
    return SPACE.parameters[name].low, SPACE.parameters[name].high


def test_optuna_search_draws_from_the_same_ranges():
    from ray.tune.search.optuna import OptunaSearch

    converted = OptunaSearch.convert_search_space(SPACE.to_ray())
    for name in ("lr", "n", "width", "even"):
        assert (converted[name].low, converted[name].high) == _ends(name)
    assert converted["width"].step == 8 and converted["n"].log


def test_a_value_out_of_range_says_what_to_do():
    config = {name: domain.sample() for name, domain in SPACE.to_ray().items()}
    with pytest.raises(SpaceError, match=r"lr.*clipped"):
        SPACE.from_ray({**config, "lr": 0.2})
    with pytest.raises(SpaceError, match="lr: is missing"):
        SPACE.from_ray({"kind": "a"})
    clipped = SPACE.clipped({**config, "lr": 0.2, "n": 99, "else": 5})
    assert clipped["lr"] == 0.1 and clipped["n"] == 8 and clipped["else"] == 5
    assert SPACE.from_ray(clipped)["lr"] == 0.1


@pytest.mark.parametrize("name", ["share", "even", "odd", "width", "n", "lr"])
def test_clipped_values_are_on_the_grid(name):
    parameter = SPACE.parameters[name]
    for value in (-100.0, 0.0, 0.11, 0.32, 3.3, 20.1, 1e9):
        assert parameter.problem(clip(parameter, value)) is None
