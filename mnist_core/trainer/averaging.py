"""Averages of a training's weights: validated, kept and served in place of the last ones.

``ema``: after each step the average moves by 1 - decay towards the weights (after Polyak & Juditsky
1992). ``swa``: from ``start`` on, the mean of the weights at the end of each report (Izmailov et
al. 2018, arXiv:1803.05407).
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mnist_core.config import AverageConfig
from mnist_core.device import torch_internals

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Average:
    """The averaged weights of one training."""

    def __init__(self, config: AverageConfig, model: nn.Module) -> None:
        """Begin without an average of ``ema`` or ``swa``."""
        self._config = config
        self._trained: list[Tensor] = list(model.parameters())
        self.model = copy.deepcopy(model)  # a model of the same kind that holds them
        self._averaged: list[Tensor] = [p.requires_grad_(False) for p in self.model.parameters()]
        self.count = 0  # weights that went into the average; 0: there is none yet

    def step(self) -> None:
        """Take in the weights after a step of the optimizer: ema."""
        if self._config.name == "ema":
            self._move(1 - self._config.decay if self.count else 1.0)

    def report(self, share: float) -> None:
        """Take in the weights at a report, ``share`` of the training being over: swa."""
        if self._config.name == "swa" and share >= self._config.start:
            self._move(1 / (self.count + 1))

    @torch.no_grad()
    def _move(self, weight: float) -> None:
        torch_internals.lerp_all(self._averaged, self._trained, weight)
        self.count += 1

    def has_norms(self) -> bool:
        """Return whether the model has statistics of its own to be computed again."""
        return any(isinstance(module, _NORMS) for module in self.model.modules())

    @torch.no_grad()
    def refresh_norms(self, batches: Iterator[Tensor]) -> None:
        """Compute mean and variance of every BatchNorm again, each batch counting the same."""
        norms = [module for module in self.model.modules() if isinstance(module, _NORMS)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's sign for the plain mean over all batches
        # Only the norms: a dropout in training mode would change what they see, and the RNG.
        self.model.eval()
        for norm in norms:
            norm.train()
        for batch in batches:
            self.model(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.model.eval()


def create(config: AverageConfig, model: nn.Module) -> Average | None:
    """Return the average that ``config`` asks for, or None."""
    return None if config.name == "none" else Average(config, model)
