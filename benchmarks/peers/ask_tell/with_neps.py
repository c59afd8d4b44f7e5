"""NePS with its own choice (``auto``): Bayesian optimization, or PriorBand with epochs and prior.

Its spaces have no conditions, so it gets all parameters at once, and those that are not active do
nothing.
"""

from typing import Any

import neps
import torch
from neps.optimizers import load_optimizer
from neps.optimizers.ask_and_tell import AskAndTell


class Search:
    """A search."""

    def __init__(self, space: dict[str, Any], seed: int, trials: int, epochs: int, prior: Any):
        self.space, self._epochs = space, epochs
        _seed(seed)
        found: dict[str, Any] = {}
        for name, one in space.items():
            more = {}
            if prior:
                more = {"prior": prior[name], "prior_confidence": "medium"}
            if one["type"] == "Choice":
                found[name] = neps.HPOCategorical(one["choices"], **more)
            else:
                found[name] = neps.HPOFloat(one["low"], one["high"], log=one["log"], **more)
        if prior:
            found["epochs"] = neps.HPOInteger(1, epochs, is_fidelity=True)
        optimizer, _ = load_optimizer("auto", neps.SearchSpace(found))
        self._neps = AskAndTell(optimizer)

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        self._trial = self._neps.ask()
        params = dict(self._trial.config)
        epochs = int(params.pop("epochs", self._epochs))
        params = {n: v.item() if hasattr(v, "item") else v for n, v in params.items()}
        return params, epochs, self._trial.id.split("_")[0]

    def tell(self, loss: float) -> None:
        """Tell the loss of the last configuration."""
        self._neps.tell(self._trial, {"objective_to_minimize": loss, "cost": 1.0})


def _seed(seed: int) -> None:
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
