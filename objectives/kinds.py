"""The kinds of objectives: the trainer, and any other; which adapter answers for which.

No other module of the package has to know both.
"""

from collections.abc import Mapping
from typing import Any

from mnist_core.config import TrainConfig
from mnist_core.table import Table
from objectives.adapter import Adapter, Exported
from objectives.own.adapter import OwnAdapter, OwnConfiguration
from objectives.own.description import Own
from objectives.trainer.adapter import TrainerAdapter
from objectives.trainer.exported import ExportedTraining
from search_spaces.space import Space


def adapter(objective: str | Own, settings: Table, space: Space) -> Adapter:
    """Return what answers for ``objective`` with ``settings``, which only the trainer has."""
    if isinstance(objective, Own):
        return OwnAdapter(objective, space)
    assert isinstance(settings, TrainConfig)
    return TrainerAdapter(objective, settings, space)


def exported(tables: Mapping[str, Any], *, source: str) -> Exported | OwnConfiguration:
    """Return the configuration that an exported file holds, of whatever kind of objective.

    Raises:
        ConfigError: if ``tables`` are something else; ``source`` is named.
    """
    if "params" in tables:
        return OwnConfiguration.from_mapping(tables, source=source)
    return ExportedTraining(TrainConfig.from_mapping(tables, source=source))
