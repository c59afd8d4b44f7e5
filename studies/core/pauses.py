"""A trial that is paused at a report, or was: what is kept with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import PAUSE


@dataclass(frozen=True, kw_only=True)
class Pause:
    """The last pause of a trial, which is RUNNING for Optuna as long as it is paused."""

    at: int  # the report at which it was paused; its training's state is that of this report
    until: int = 0  # the report to which it was continued; 0: it is still paused
    seconds: float = 0.0  # of all its attempts up to the pause

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Self | None:
        """Return the pause among the user attributes of a trial; None: it was never paused."""
        found = attributes.get(PAUSE)
        return cls(**found) if isinstance(found, Mapping) else None


def paused(trial: FrozenTrial) -> Pause | None:
    """Return the pause of ``trial`` if it is paused now, else None."""
    if trial.state is not TrialState.RUNNING:
        return None
    pause = Pause.of(trial.user_attrs)
    return pause if pause is not None and not pause.until else None
