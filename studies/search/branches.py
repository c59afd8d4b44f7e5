"""A search as a sampler sees it, and the branches of its space."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces.space import Choice, Space
from studies.core.goals import Goals
from studies.search.guides import Guide

Branch = dict[str, Any]
"""The choices that make a branch, by parameter, in the order of the space."""


def deciding(space: Space, scientific: str) -> tuple[str, ...]:
    """Return the parameters whose choices make the branches, in the order of the space."""
    conditions = {p.when.parameter for p in space.parameters.values() if p.when is not None}
    # Without a comparison ``scientific`` is "", which no parameter is called.
    return tuple(name for name in space.parameters if name in conditions | {scientific})


def branches(space: Space, scientific: str) -> list[Branch]:
    """Return all branches of ``space``, in its order."""
    # Within one combination of these choices the set of parameters is fixed.
    found: list[Branch] = [{}]
    for name in deciding(space, scientific):
        parameter = space.parameters[name]
        assert isinstance(parameter, Choice)
        found = [
            {**branch, **extra}
            for branch in found
            for extra in (
                [{name: value} for value in parameter.choices]
                if name in space.active(branch)
                else [{}]
            )
        ]
    return found


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sampler must know of the search that it proposes trials for.

    Attributes:
        scientific: the parameter whose choices are compared; "": there is none.
        trials: planned number of trials.
        workers: trials that run at the same time.
        prunes: whether trials may be pruned.
        imported: results from elsewhere, as trials.
        guides: earlier studies that it learns from.
        defaults: number of trials that are choices' defaults, the first ones.
    """

    space: Space
    scientific: str = ""
    seed: int = 0
    trials: int = 100
    workers: int = 1
    prunes: bool = False
    goals: Goals = field(default_factory=lambda: Goals(metric="value"))
    imported: Sequence[FrozenTrial] = ()
    guides: Sequence[Guide] = ()
    defaults: int = 0

    @property
    def choices(self) -> int:
        """Number of values that are compared; 1: nothing is."""
        if not self.scientific:
            return 1
        compared = self.space.parameters[self.scientific]
        assert isinstance(compared, Choice)
        return len(compared.choices)

    @property
    def branches(self) -> int:
        """Number of branches of the space."""
        return len(branches(self.space, self.scientific))

    @property
    def conditional(self) -> bool:
        """Whether some parameters depend on choices."""
        return any(parameter.when is not None for parameter in self.space.parameters.values())

    @property
    def per_branch(self) -> int:
        """Trials of a branch, on average."""
        return max(1, self.trials // self.branches)
