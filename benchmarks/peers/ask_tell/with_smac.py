"""SMAC3's facade for hyperparameters, its defaults: random forest, log EI, Sobol start."""

import tempfile
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, InCondition
from smac import HyperparameterOptimizationFacade, Scenario
from smac.runhistory.dataclasses import TrialValue


class Search:
    """A search; conditions are given as conditions.

    One seed a configuration (``deterministic``), as all others have it.
    """

    def __init__(self, space: dict[str, Any], seed: int, trials: int, epochs: int, prior: Any):
        self.space, self._epochs = space, epochs
        configs = ConfigurationSpace(seed=seed)
        made: dict[str, Any] = {}
        for name, one in space.items():
            if one["type"] == "Choice":
                made[name] = Categorical(name, one["choices"])
            else:
                made[name] = Float(name, (one["low"], one["high"]), log=one["log"])
        configs.add(*made.values())
        for name, one in space.items():
            if (when := one["when"]) is not None:
                parent, values = made[when["parameter"]], when["values"]
                if len(values) == 1:
                    configs.add(EqualsCondition(made[name], parent, values[0]))
                else:
                    configs.add(InCondition(made[name], parent, values))
        scenario = Scenario(
            configs,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            output_directory=tempfile.mkdtemp(),
        )
        self._smac = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=40
        )

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        self._trial = self._smac.ask()
        params = {name: _plain(value) for name, value in dict(self._trial.config).items()}
        return params, self._epochs, ""

    def tell(self, loss: float) -> None:
        """Tell the loss of the last configuration."""
        self._smac.tell(self._trial, TrialValue(cost=loss))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
