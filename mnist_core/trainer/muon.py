"""Muon for the hidden layers, AdamW for everything else (Jordan 2024, Liu 2025)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from mnist_core.device import torch_internals
from mnist_core.errors import ConfigError


class MuonAdamW(torch.optim.Optimizer):
    """Two groups of parameters: the matrices and the rest; the computations are torch's."""

    # Muon (kellerjordan.github.io/posts/muon) makes the update of a weight matrix nearly
    # orthogonal. Scaled to AdamW's usual size (arXiv:2502.16982), one learning rate and one weight
    # decay serve both.

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        betas: tuple[float, float],
    ) -> None:
        """Sort the parameters of a model, in its order: the last weight is the output layer's."""
        every = list(parameters)
        matrices = [p for p in every if p.ndim > 1][:-1]
        if not matrices:
            raise ConfigError(
                "optim.name: 'muon' is for models with hidden layers, but this one has none"
            )
        hidden = {id(p) for p in matrices}
        others = [p for p in every if id(p) not in hidden]
        common = {"lr": lr, "weight_decay": weight_decay}
        groups = [
            {"params": matrices, "momentum": momentum},
            # torch brings the count of steps to the device where a fused step wants it.
            {"params": others, "betas": betas, "fused": True},
        ]
        super().__init__(groups, common)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do one step."""
        matrices, others = self.param_groups
        self._step_matrices([p for p in matrices["params"] if p.grad is not None])
        self._step_others([p for p in others["params"] if p.grad is not None])

    def _step_matrices(self, parameters: list[Tensor]) -> None:
        group = self.param_groups[0]
        weights = [_matrix(p) for p in parameters]
        gradients = [_like(p.grad, p) for p in parameters if p.grad is not None]
        for p, weight in zip(parameters, weights, strict=True):
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(weight)
        torch_internals.muon_step(
            weights,
            gradients,
            [self.state[p]["momentum_buffer"] for p in parameters],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
        )

    def _step_others(self, parameters: list[Tensor]) -> None:
        group = self.param_groups[1]
        for p in parameters:
            if not self.state[p]:
                self.state[p]["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
                self.state[p]["exp_avg"] = torch.zeros_like(p)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [self.state[p]["exp_avg"] for p in parameters],
            [self.state[p]["exp_avg_sq"] for p in parameters],
            [],
            [self.state[p]["step"] for p in parameters],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _matrix(weight: Tensor) -> Tensor:
    """View ``[out, …]`` as ``[out, the rest]``, in the order of memory: a step writes into it."""
    if weight.is_contiguous():
        return weight.view(len(weight), -1)
    return weight.permute(0, 2, 3, 1).view(len(weight), -1)  # channels-last


def _like(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return ``gradient`` as a matrix whose columns are in the order of the weight's."""
    if weight.is_contiguous():
        return gradient.reshape(len(weight), -1)
    return gradient.permute(0, 2, 3, 1).reshape(len(weight), -1)
