"""Which of a user's own files an exception comes from: a model, a loss, an optimizer, a metric."""

import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mnist_core import losses, models, plugins
from mnist_core.device import device_errors
from mnist_core.errors import ConfigError, UserError
from mnist_core.plugins.python_files import raised


def own_error(error: Exception) -> str | None:
    """Return in one line what the user's own code raised; None: the cause is something else."""
    if isinstance(error, UserError) or of_the_machine(error) or own_file(error) is None:
        return None
    return said(error)


def of_the_machine(error: Exception) -> bool:
    """Return whether memory ran out or the GPU failed, which is not the code's mistake."""
    return device_errors.is_out_of_memory(error) or device_errors.is_gpu_failure(error)


def own_file(error: BaseException) -> Path | None:
    """Return the file of the user's own, or of a model, that ``error`` was raised in, if any."""
    places = [Path(models.__file__).parent, Path(losses.__file__), *plugins.folders()]
    places += _installed()
    # The innermost call first. What a user's code calls in other packages is the user's, too.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if any(file.is_relative_to(place) for place in places):
            return file
    return None


def said(error: BaseException) -> str:
    """Return ``error`` in one line, with the file and line of the user's own if it was there."""
    file = own_file(error)
    if file is not None:
        return raised(error, file)
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}{reason and f': {reason}'}"


def _installed() -> Iterator[Path]:
    """Yield the folders of installed packages that bring own code."""
    for kind in ("models", "losses", "optimizers", "metrics"):
        for one in plugins.plugins(kind):
            if one.entry is not None:
                with suppress(ConfigError, ImportError):
                    yield next(iter(one.sources().values())).parent
