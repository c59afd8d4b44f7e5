"""What a study's trials are judged by: one or more objectives, and limits.

A trial over a limit is *infeasible* and cannot win. If that is known beforehand it is not trained:
it ends as FAIL, kind ``Infeasible``, and is not counted as failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mnist_core.errors import ConfigError, unknown_name
from objectives.measured import KNOWN_BEFORE, MEASURES
from objectives.training import CONFIRM
from studies.statistics.intervals import Direction, sign_of


def judged_by(metric: str, metrics: Mapping[str, float]) -> str:
    """Return the name of the metric that judges a finished trial with ``metrics``.

    A trial that has ``confirm_accuracy`` beside ``val_accuracy`` is judged by the former: it was
    measured once, at the end, on images that nothing was selected on.
    """
    confirmed = f"{CONFIRM}{metric.removeprefix('val_')}"
    return confirmed if metric.startswith("val_") and confirmed in metrics else metric


@dataclass(frozen=True, kw_only=True)
class Goals:
    """The objectives and limits of a study."""

    metric: str  # the first objective, by which running trials are compared
    direction: Direction = "maximize"  # of the metric
    # directions of further objectives by name, which are among ``MEASURES``
    further: Mapping[str, Direction] = field(default_factory=dict)
    # the most that a trial may have of ``MEASURES``, by name; > 0
    limits: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check directions, names and limits, or raise ``ConfigError``."""
        if self.direction not in ("maximize", "minimize"):
            raise ConfigError(
                f"direction must be 'minimize' or 'maximize', but got {self.direction!r}"
            )
        for setting, names in (("objectives", self.further), ("constraints", self.limits)):
            for name in names:
                if name not in MEASURES:
                    raise ConfigError(f"search.{setting}: {unknown_name('name', name, MEASURES)}")
        for name, direction in self.further.items():
            if direction not in ("maximize", "minimize"):
                raise ConfigError(
                    f"search.objectives.{name} must be 'minimize' or 'maximize', but got"
                    f" {direction!r}"
                )
        for name, limit in self.limits.items():
            if limit <= 0:
                raise ConfigError(
                    f"search.constraints.{name} must be above 0 (the most that a trial may have),"
                    f" but got {limit!r}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all objectives, the metric first."""
        return (self.metric, *self.further)

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """Return the values of all objectives of a finished trial, see ``judged_by``."""
        return [float(metrics[judged_by(name, metrics)]) for name in self.names]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The direction of each objective."""
        return (self.direction, *self.further.values())

    @property
    def signs(self) -> tuple[float, ...]:
        """For each objective 1 where more is better, else -1."""
        return tuple(map(sign_of, self.directions))

    @property
    def sign(self) -> float:
        """1 where more of the metric is better, else -1."""
        return sign_of(self.direction)

    def better(self, value: float, than: float) -> bool:
        """Whether ``value`` of the metric is better than another value."""
        return self.sign * value > self.sign * than

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return bool(self.further)

    @property
    def measured(self) -> bool:
        """Whether trials must report their costs."""
        return bool(self.further or self.limits)

    def excesses(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return by which fraction ``metrics`` exceed each limit; 0 or less keeps the limit."""
        return {
            name: metrics[name] / limit - 1.0
            for name, limit in self.limits.items()
            if name in metrics
        }

    def over(self, metrics: Mapping[str, float]) -> str:
        """Return the exceeded limits, e.g. ``1,200,000 parameters > 300,000``, or ""."""
        return ", ".join(
            f"{metrics[name]:,.6g} {name} > {self.limits[name]:,.6g}"
            if name not in KNOWN_BEFORE
            else f"{metrics[name]:,.0f} {name} > {self.limits[name]:,.0f}"
            for name, excess in self.excesses(metrics).items()
            if excess > 0
        )

    def as_good_beforehand(self, other: Mapping[str, float], than: Mapping[str, float]) -> bool:
        """Whether a trial is at least as good in all further objectives known beforehand."""
        # Only such a trial can show by the metric alone that the other one is beaten.
        return all(
            sign_of(direction) * other[name] >= sign_of(direction) * than[name]
            for name, direction in self.further.items()
            if name in KNOWN_BEFORE and name in other and name in than
        )
