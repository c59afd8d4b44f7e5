"""Weights, optimizer states and buffers of the members of a stack: one row each.

The members' own models and optimizers hold views of the rows. So reports, averages and states on
disk read and write the same numbers as the steps of the stack.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mnist_core.stacked.updates import Rule, clip, settings_of, to_columns
from mnist_core.trainer.training import Training


class Rows:
    """The numbers of all members, and the steps on them."""

    def __init__(self, members: Sequence[Training], rule: Rule) -> None:
        """Copy the members' numbers into rows, and give the members views of these."""
        self._members, self._rule = members, rule
        first = members[0]
        self._names = [name for name, _ in first.model.named_parameters()]
        self._shapes = [parameter.shape for parameter in first.parameters]
        ends = np.cumsum([0, *(shape.numel() for shape in self._shapes)]).tolist()
        self._places = [slice(a, b) for a, b in itertools.pairwise(ends)]
        with torch.no_grad():
            self.weights = torch.stack([self._row(one.parameters) for one in members])
            self._states = {
                name: torch.stack([self._state_row(one, name) for one in members])
                for name in rule.states
            }
            models = [dict(one.model.named_buffers()) for one in members]
            self._buffers = {name: torch.stack([m[name] for m in models]) for name in models[0]}
        self.loss_sums = torch.stack([one.loss_sum for one in members])
        # torch keeps the number of steps with each parameter: [parameters, K], on the host.
        self._steps = self._numbers("step", 0.0)
        self._products = {name: self._numbers(name, 1.0) for name in rule.products}
        self._settings = {
            name: np.array([settings_of(one.optimizer)[name] for one in members])
            for name in settings_of(first.optimizer)
        }
        clips = np.array([one.now.grad_clip or np.inf for one in members])
        self._clips = clips if np.isfinite(clips).any() else None
        for k, one in enumerate(members):
            self._bind(k, one)

    def tensors(self) -> dict[str, Tensor]:
        """Return parameters, for a new graph, and buffers by name, ``[K, ...]`` each."""
        return {**self._leaves(), **self._buffers}

    def _leaves(self) -> dict[str, Tensor]:
        k = len(self._members)
        return {
            name: self.weights[:, place].view(k, *shape).detach().requires_grad_()
            for name, place, shape in zip(self._names, self._places, self._shapes, strict=True)
        }

    def gradients(self, loss: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the gradients ``[K, P]`` of ``loss``, the sum of the members' losses."""
        found = torch.autograd.grad(loss, [tensors[name] for name in self._names])
        return torch.cat([one.reshape(len(one), -1) for one in found], dim=1)

    @torch.no_grad()
    def update(self, gradients: Tensor, rates: Sequence[float]) -> None:
        """Do a step of each member's optimizer with its learning rate of ``rates``."""
        self._steps += 1
        numbers = {**self._settings, "lr": np.array(rates)}
        products = {name: value[0].double().numpy() for name, value in self._products.items()}
        numbers |= products
        numbers |= self._rule.derive(numbers, self._steps[0].double().numpy())
        for name, value in products.items():
            self._products[name].copy_(torch.from_numpy(value))
        if self._clips is not None:
            numbers["clip"] = self._clips
        columns = to_columns(numbers, self.weights)
        if self._clips is not None:
            gradients = clip(gradients, columns["clip"])
        self._rule.update(self.weights, gradients, self._states, columns)

    def _bind(self, k: int, member: Training) -> None:
        """Have ``member`` read and write row ``k``."""
        for i, (parameter, place, shape) in enumerate(
            zip(member.parameters, self._places, self._shapes, strict=True)
        ):
            parameter.data = self.weights[k, place].view(shape)
            state = {
                name: rows[k, place].view(shape)
                for name, rows in self._states.items()
                if self._rule.keeps(settings_of(member.optimizer), name)
            }
            state |= {name: value[i, k] for name, value in self._products.items()}
            if self._rule.counts:
                state["step"] = self._steps[i, k]
            if state:
                member.optimizer.state[parameter] = state
        for name, buffer in member.model.named_buffers():
            buffer.data = self._buffers[name][k]
        member.loss_sum = self.loss_sums[k]

    def _row(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])

    def _state_row(self, member: Training, name: str) -> Tensor:
        known = member.optimizer.state
        return self._row([known[p].get(name, torch.zeros_like(p)) for p in member.parameters])

    def _numbers(self, name: str, otherwise: float) -> Tensor:
        """Return a number that torch keeps with each parameter: fp32 ``[parameters, K]``."""
        return torch.tensor(
            [
                [float(one.optimizer.state[p].get(name, otherwise)) for p in one.parameters]
                for one in self._members
            ]
        ).T.contiguous()


def take_out(member: Training) -> None:
    """Give ``member`` tensors of its own, as they lie in a lone training; it does no more steps."""
    with torch.no_grad():
        for tensor in (*member.parameters, *member.model.buffers()):
            own = tensor.data.clone()
            tensor.data = own.to(memory_format=torch.channels_last) if own.ndim == 4 else own
    member.loss_sum = member.loss_sum.clone()
    member.optimizer.state.clear()
