"""How the choices of a search and the configurations of a confirmation stand, from events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from studies.core.events import TRIAL_ENDS, Event

LEADERS = 5
"""Trials on the leaderboard of a study that compares no choices."""


@dataclass
class Best:
    """The best trial of a search, or the best mean over the ``seeds`` of a confirmation.

    Attributes:
        number: of the trial, or of the configuration's first one.
        seeds: number of confirmed seeds; 0: it is one trial of the search.
    """

    value: float
    number: int
    params: Mapping[str, Any]
    seeds: int = 0

    @property
    def what(self) -> str:
        """Where the value comes from, in words."""
        if not self.seeds:
            return f"trial {self.number}"
        return f"mean of {self.seeds} seed{'s' if self.seeds > 1 else ''}"


def best_of(told: Mapping[str, Any] | None) -> Best | None:
    """Return the best that an event tells, None if it tells none."""
    return Best(told["value"], told["trial"], told["params"]) if told else None


@dataclass
class Standing:
    """The ended trials of one choice, and the best of them."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRIAL_ENDS, 0))
    best: Best | None = None


@dataclass
class Leaderboard:
    """The choices of a search; of a study that compares none, its best trials.

    Attributes:
        choice: the parameter whose choices are compared; "": none.
        sign: 1 where more of the metric is better, else -1.
    """

    choice: str = ""
    sign: float = 1.0
    choices: dict[Any, Standing] = field(default_factory=dict)
    leaders: list[Best] = field(default_factory=list)

    def take(self, told: Mapping[str, Any]) -> None:
        """Replace what is here by what a ``phase`` or ``elsewhere`` event tells, if it does."""
        for one in told.get("choices", ()):
            counts = {kind: int(one.get(kind, 0)) for kind in TRIAL_ENDS}
            self.choices[one["choice"]] = Standing(counts, best_of(one.get("best")))
        if "leaders" in told:
            self.leaders = [best for best in map(best_of, told["leaders"]) if best]

    def clear(self) -> None:
        """Forget all trials."""
        self.choices.clear()
        self.leaders.clear()

    def start(self, params: Mapping[str, Any]) -> None:
        """A trial with ``params`` has started: its choice is on the board from now on."""
        if self.choice in params:
            self.choices.setdefault(params[self.choice], Standing())

    def end(self, event: Event, params: Mapping[str, Any]) -> None:
        """Take in the end of a trial with ``params``."""
        found = None
        if (
            event.kind == "complete"
            and event.data.get("feasible", True)
            and event.trial is not None
        ):
            found = Best(float(event.data["value"]), event.trial, params)
        if self.choice in params:
            one = self.choices.setdefault(params[self.choice], Standing())
            one.counts[event.kind] += 1
            if found and (one.best is None or self._score(found) > self._score(one.best)):
                one.best = found
        elif found and not self.choice:
            self.leaders = sorted([*self.leaders, found], key=self._score, reverse=True)[:LEADERS]

    def ranked(self) -> list[tuple[Any, Standing]]:
        """Return the choices and how they stand, best first, those without a result last."""
        return sorted(
            list(self.choices.items()),
            key=lambda one: (one[1].best is None, -self._score(one[1].best), str(one[0])),
        )

    def _score(self, best: Best | None) -> float:
        return self.sign * best.value if best else 0.0


@dataclass
class Configuration:
    """One configuration that is confirmed, and what its seeds gave."""

    params: Mapping[str, Any]
    number: int  # of its first training
    values: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def mean(self) -> Best:
        """The mean of the seeds."""
        return Best(fmean(self.values), self.number, self.params, len(self.values))


class Confirmation:
    """The configurations of a confirmation by their parameters.

    They are compared by their means: the best single seed is a lucky one.
    """

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self._found: dict[str, Configuration] = {}

    def clear(self) -> None:
        """Forget all trainings."""
        self._found.clear()

    def of(self, params: Mapping[str, Any], number: int) -> Configuration:
        """Return the configuration of ``params``, which training ``number`` belongs to."""
        key = json.dumps(dict(params), sort_keys=True)
        return self._found.setdefault(key, Configuration(params, number))

    @property
    def best(self) -> Best | None:
        """The best mean, None if no training has ended."""
        means = [one.mean for one in self._known() if one.values]
        return max(means, key=lambda mean: self._sign * mean.value, default=None)

    def ranked(self) -> list[Configuration]:
        """Return the configurations by their means, best first, those without a value last."""
        return sorted(
            self._known(),
            key=lambda one: (
                not one.values,
                -self._sign * fmean(one.values) if one.values else 0.0,
            ),
        )

    def _known(self) -> list[Configuration]:
        return list(self._found.values())
