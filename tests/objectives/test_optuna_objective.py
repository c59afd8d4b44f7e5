"""An objective in a plain ``study.optimize``."""

import optuna
import toys
from toy_plans import SPACE

from objectives.optuna_objective import as_optuna_objective
from studies.core.seeds import trial_seed


def test_a_plain_study_optimizes_it(tmp_path):
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    objective = as_optuna_objective(toys.Toy(tmp_path, raises=(2,)), SPACE, seed=5)
    study.optimize(objective, n_trials=6, catch=(ValueError,))
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    for trial in study.trials:
        assert trial.user_attrs["seed"] == trial_seed(5, trial.number)
        assert ("y" in trial.params) == (trial.params["kind"] == "slow")
    assert list(study.trials[0].intermediate_values) == [1, 2, 3, 4]
    assert study.trials[0].value == study.trials[0].intermediate_values[4]
    assert study.trials[0].user_attrs["steps_done"] == 4


def test_the_studys_own_pruner_stops_it(tmp_path):
    pruner = optuna.pruners.ThresholdPruner(lower=1.0, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(as_optuna_objective(toys.Toy(tmp_path), SPACE, seed=0), n_trials=1)
    (trial,) = study.trials
    assert trial.state.name == "PRUNED"
    assert list(trial.intermediate_values) == [1, 2]
