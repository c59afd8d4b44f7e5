"""Optuna's tables in an SQL database, as this program reads and writes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy

COLUMNS: Mapping[str, frozenset[str]] = {
    "studies": frozenset({"study_id", "study_name"}),
    "study_directions": frozenset({"study_id", "direction", "objective"}),
    "study_user_attributes": frozenset({"study_id", "key", "value_json"}),
    "study_system_attributes": frozenset({"study_id", "key", "value_json"}),
    "trials": frozenset(
        {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"}
    ),
    "trial_values": frozenset({"trial_id", "objective", "value", "value_type"}),
    "trial_params": frozenset(
        {"param_id", "trial_id", "param_name", "param_value", "distribution_json"}
    ),
    "trial_intermediate_values": frozenset(
        {"trial_id", "step", "intermediate_value", "intermediate_value_type"}
    ),
    "trial_user_attributes": frozenset({"trial_id", "key", "value_json"}),
    "trial_system_attributes": frozenset({"trial_id", "key", "value_json"}),
}
"""The tables, and the columns of each that are read and written."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Optuna's tables, and how it stores numbers that are not finite."""

    studies: sqlalchemy.Table
    study_directions: sqlalchemy.Table
    study_user_attributes: sqlalchemy.Table
    study_system_attributes: sqlalchemy.Table
    trials: sqlalchemy.Table
    trial_values: sqlalchemy.Table
    trial_params: sqlalchemy.Table
    trial_intermediate_values: sqlalchemy.Table
    trial_user_attributes: sqlalchemy.Table
    trial_system_attributes: sqlalchemy.Table
    value_to_stored: Callable[[float], tuple[float | None, Any]]
    value_from_stored: Callable[[float | None, Any], float]
    step_to_stored: Callable[[float], tuple[float | None, Any]]
    step_from_stored: Callable[[float | None, Any], float]
