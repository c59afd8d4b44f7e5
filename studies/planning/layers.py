"""A study's settings, from all that gives some: laid over one another, the last one on top."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies import catalog
from studies.planning.settings import (
    SET,
    Layer,
    Settings,
    combine,
    make_layer,
    read_conf,
    short_name,
)
from studies.spec import StudySpec

GENERAL_QUICK = "--quick (general)"
"""The source of settings of a small run of a study that has no ``quick`` of its own."""

QUICK_TRIALS = 6
"""Search trials of a small run of a study that has no ``quick``; more if it has more choices."""


def settings_of(
    study: str,
    spec: StudySpec | None,
    *,
    conf: Path | None = None,
    sets: Mapping[str, Any],
    quick: bool = False,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings of ``study`` and the source of each that is not a default.

    In this order: the defaults, ``conf.toml``, what the study fixes, ``[studies.<name>]`` in
    ``conf.toml``, ``--quick``, and ``sets``.

    Args:
        study: its name in the catalog.
        spec: the study; None: it is not in the catalog, and gives and searches nothing.
        conf: another file than ``conf.toml``.
        sets: dotted settings of the command line.
        quick: whether to use the study's ``quick`` settings, or else ``general_quick``.

    Raises:
        ConfigError: a setting is unknown or wrong.
    """
    given = read_conf(conf, studies=catalog.names())
    searched = set() if spec is None else searched_settings(spec)
    file = f"studies/catalog/{study}.py"
    layers = [given.general]
    if spec is not None:
        layers.append(make_layer(spec.given, source=f"{file} (fixed)", searched=searched))
    if study in given.studies:
        own = given.studies[study]
        layers.append(make_layer(own.values, source=own.source, searched=searched))
    if quick and spec is not None:
        layers.append(_quick(spec, file, searched))
    layers.append(make_layer(sets, source=SET, searched=searched))
    return combine(layers)


def searched_settings(spec: StudySpec) -> set[str]:
    """Return the full dotted names of the settings that the study's trials decide."""
    return {f"train.{spec.space.setting(name)}" for name in spec.space.parameters}


def unset(searched: set[str]) -> dict[str, Any]:
    """Return the defaults of the settings that trials decide.

    What ``conf.toml`` gives for them is meant for other runs; a momentum from there would reach
    the trials of optimizers that have none.
    """
    return {short_name(key): setting_of(Settings(), key) for key in searched}


def setting_of(settings: Settings, key: str) -> Any:
    """Return the setting with the full dotted name ``key``; None where there is none."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def general_quick(spec: StudySpec) -> dict[str, Any]:
    """Return the settings of a small run of a study that has no ``quick`` of its own."""
    small = {
        "epochs": 1,
        "search.trials": max(QUICK_TRIALS, len(spec.choices)),
        "confirm.seeds": 3,
    }
    searched = searched_settings(spec)
    return {name: value for name, value in small.items() if f"train.{name}" not in searched}


def _quick(spec: StudySpec, file: str, searched: set[str]) -> Layer:
    if spec.quick:
        return make_layer(spec.quick, source=f"{file} (quick)", searched=searched)
    return make_layer(general_quick(spec), source=GENERAL_QUICK)
