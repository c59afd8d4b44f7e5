"""Studies: hyperparameter searches with Optuna and Ray, and what is made of their results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studies.analysis.tables import Tables


def load(
    study: str,
    *,
    quick: bool = False,
    conf: Path | None = None,
    sets: "Mapping[str, Any] | None" = None,
) -> "Tables":
    """Read a study as pandas tables; see ``studies/analysis/tables.py`` for their columns.

    >>> studies.load("optim_search").trials  # doctest: +SKIP

    Args:
        study: its name or its folder, e.g. ``results/cuda/optim_search``.
        quick: the study's small run.
        conf: read instead of ``conf.toml``.
        sets: dotted settings, e.g. ``{"results.folder": "elsewhere"}``.

    Raises:
        UserError: if there is no such study.
    """
    from studies.analysis import stored_study, tables
    from studies.planning import lookup

    return tables.tables(stored_study.read(lookup.find(study, quick=quick, conf=conf, sets=sets)))
