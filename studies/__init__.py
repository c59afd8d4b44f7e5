"""Studies: hyperparameter searches with Optuna and Ray, and what is made of their results."""

import importlib
import os

# `python -m studies` imports this before it can say which file of a user hides a module. So nothing
# is imported here that is not in memory already, not even typing's own TYPE_CHECKING.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from studies.python_api import Study
    from studies.python_api import run as run


def load(
    study: "str | os.PathLike[str]",
    *,
    quick: bool = False,
    conf: "Path | None" = None,
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
    from studies.core.quiet_imports import import_tqdm

    import_tqdm()
    from studies import python_api

    return python_api.load(os.fspath(study), quick=quick, conf=conf, set=set)


def __getattr__(name: str) -> "Any":
    """Import ``studies.run``, which takes a moment, when it is first used.

    Raises:
        AttributeError: for any other name.
    """
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The module `studies/run.py` can be called, so `import studies.run` does no harm.
    return importlib.import_module("studies.run")
