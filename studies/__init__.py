"""Studies: hyperparameter searches with Optuna and Ray, and what is made of their results."""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studies.python_api import Study
    from studies.python_api import run as run


def load(
    study: "str | os.PathLike[str]",
    *,
    quick: bool = False,
    conf: Path | None = None,
    set: "Mapping[str, Any] | None" = None,
) -> "Study":
    """Read a study: its verdict, its tables, its files; see ``studies/python_api.py``.

    >>> studies.load("optim_search").trials  # doctest: +SKIP

    Args:
        study: its name or its folder, e.g. ``results/cuda/optim_search``.
        quick: the study's small run.
        conf: read instead of ``conf.toml``.
        set: dotted settings, e.g. ``{"results.folder": "elsewhere"}``.

    Raises:
        UserError: if there is no such study.
    """
    from studies import python_api

    return python_api.load(os.fspath(study), quick=quick, conf=conf, set=set)


def __getattr__(name: str) -> Any:
    """Import ``studies.run``, which takes a moment, when it is first used.

    Raises:
        AttributeError: for any other name.
    """
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The module `studies/run.py` can be called, so `import studies.run` does no harm.
    return importlib.import_module("studies.run")
