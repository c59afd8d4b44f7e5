"""Syne Tune's ``BOTorch``, its Bayesian optimization, with the defaults.

Its spaces have no conditions, so it gets all parameters at once, and those that are not active do
nothing.
"""

from typing import Any

import numpy as np
import torch
from syne_tune.config_space import choice, loguniform, uniform
from syne_tune.optimizer.baselines import BOTorch
from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

METRIC = "loss"


class Search:
    """A search."""

    def __init__(self, space: dict[str, Any], seed: int, trials: int, epochs: int, prior: Any):
        self.space, self._epochs = space, epochs
        np.random.seed(seed)
        torch.manual_seed(seed)
        domains: dict[str, Any] = {}
        for name, one in space.items():
            if one["type"] == "Choice":
                domains[name] = choice(one["choices"])
            else:
                domains[name] = (loguniform if one["log"] else uniform)(one["low"], one["high"])
        self._syne = AskTellScheduler(
            BOTorch(domains, metric=METRIC, do_minimize=True, random_seed=seed)
        )

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        self._trial = self._syne.ask()
        return dict(self._trial.config), self._epochs, ""

    def tell(self, loss: float) -> None:
        """Tell the loss of the last configuration."""
        self._syne.tell(self._trial, {METRIC: loss})
