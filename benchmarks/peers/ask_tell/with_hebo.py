"""HEBO with its defaults: a Gaussian process, output warping, MACE.

Its spaces have no conditions, so it gets all parameters at once, and those that are not active do
nothing.
"""

from typing import Any

import numpy as np
import torch
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.hebo import HEBO


class Search:
    """A search."""

    def __init__(self, space: dict[str, Any], seed: int, trials: int, epochs: int, prior: Any):
        self.space, self._epochs = space, epochs
        np.random.seed(seed)
        torch.manual_seed(seed)
        described = []
        for name, one in space.items():
            if one["type"] == "Choice":
                described.append({"name": name, "type": "cat", "categories": one["choices"]})
            else:
                kind = "pow" if one["log"] else "num"
                described.append({"name": name, "type": kind, "lb": one["low"], "ub": one["high"]})
        self._hebo = HEBO(DesignSpace().parse(described), scramble_seed=seed)

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        self._point = self._hebo.suggest(n_suggestions=1)
        row = self._point.iloc[0].to_dict()
        params: dict[str, Any] = {}
        for name, value in row.items():
            one, value = self.space[name], value.item() if hasattr(value, "item") else value
            if one["type"] == "Float":  # 10 ** log10(x) may lie a rounding beyond the range
                value = min(max(value, one["low"]), one["high"])
            params[name] = value
        return params, self._epochs, ""

    def tell(self, loss: float) -> None:
        """Tell the loss of the last configuration."""
        self._hebo.observe(self._point, np.array([[loss]]))
