"""What a worker is started with, and the error when none can be."""

import pickle

from mnist_core.errors import UserError
from objectives.base import Objective
from studies.engines.base import Failure


class WorkerStartError(UserError):
    """Workers cannot start, or cannot load the objective; its note holds what they printed."""


def pickled(objective: Objective) -> bytes:
    """Return ``objective`` as it is sent to workers.

    Raises:
        WorkerStartError: it cannot be sent, or could not be found there.
    """
    module = getattr(objective, "__module__", "")
    if module == "__main__":
        raise WorkerStartError(
            "the objective is defined in the main program, where workers cannot import it; "
            "move it into a module, or use the engine 'inline'"
        )
    try:
        return pickle.dumps(objective)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise WorkerStartError(f"the objective cannot be sent to workers: {error}") from None


def unfit_error(failure: Failure, times: int) -> UserError:
    """Return the line that ends a run whose workers cannot use their device.

    Args:
        failure: the last one's.
        times: how many failed in a row.
    """
    return UserError(
        f"workers cannot use their device, {times} in a row: {failure.message}; nothing is lost:"
        " free the device or set another one, and run the study again"
    )


def start_error(message: str, output: str) -> WorkerStartError:
    """Return the error; ``output``, what the worker printed, is its note."""
    error = WorkerStartError(f"workers cannot start: {message}")
    if output:
        error.add_note(output)
    return error
