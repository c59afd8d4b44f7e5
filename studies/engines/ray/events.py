"""What a worker on Ray tells the driver: the value of ``EVENT`` in a result of Ray Tune."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass

from objectives.base import Outcome
from studies.core.trials import Failure

EVENT = "event"
"""The key; Tune adds its own ones."""

TASK = "task"
"""The key of the task in a Tune trial's config."""

KNOWN = "known"
"""The key, there, of the last report that a member of a population has made before."""


@dataclass(frozen=True)
class Started:
    """The task started, in process ``pid`` of the node at ``ip``."""

    ip: str
    pid: int


@dataclass(frozen=True)
class Broken:
    """The worker cannot load the objective, so no task can run."""

    failure: Failure


@dataclass(frozen=True)
class Reported:
    """A report; the training waits until Tune asks for the next step."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Finished:
    """The task has finished; ``result`` is its pickled ``Outcome`` or ``Failure``."""

    result: bytes

    @classmethod
    def of(cls, result: Outcome | Failure) -> "Finished":
        """Pickle ``result``, or a ``BadOutcome`` if it cannot be pickled."""
        try:
            return cls(pickle.dumps(result))
        except Exception as error:  # pickle raises what the objects' own code raises
            failure = Failure(kind="BadOutcome", message=f"cannot be sent: {error}")
            return cls(pickle.dumps(failure))

    def read(self) -> Outcome | Failure:
        """Return the result."""
        result: Outcome | Failure = pickle.loads(self.result)
        return result


Event = Started | Broken | Reported | Finished
