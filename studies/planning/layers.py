"""A study's settings, from every layer that gives some; the last layer wins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core import parsing, plugins
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.plugins import model_files
from mnist_core.table import flat_items, unknown_setting
from studies import catalog
from studies.planning.settings import (
    CONF,
    MODEL,
    OPTIONS,
    SET,
    Settings,
    full_name,
    put_setting,
    setting_of,
    short_name,
)
from studies.spec import StudySpec

GENERAL_QUICK = "--quick (general)"
"""The source of settings of a small run of a study that has no ``quick`` of its own."""

QUICK_TRIALS = 6
"""Search trials of a small run of a study that has no ``quick``: more if it has more choices, and
never more than the study."""

_OF_THE_PLAN = {
    "train.seed": "every trial has its own seed, drawn from search.seed; set search.seed",
    "train.threads": "workers share the CPU cores; set engine.threads",
}
"""Settings of the trainer that a study decides for each trial."""


@dataclass(frozen=True)
class Layer:
    """Settings from one place."""

    source: str  # the file or option, named in errors and by ``show``
    values: Mapping[str, Any]  # by full dotted name
    written: Mapping[str, str]  # how each was written, by full dotted name


@dataclass(frozen=True)
class Conf:
    """The content of ``conf.toml``: for all studies, and by study."""

    general: Layer
    studies: Mapping[str, Layer]


def settings_of(
    study: str,
    spec: StudySpec | None,
    *,
    conf: Path | None = None,
    sets: Mapping[str, Any],
    quick: bool = False,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings of ``study`` and the source of each that is not a default.

    In this order: the defaults, ``conf.toml`` (or the file ``conf``), what the study fixes,
    ``[studies.<name>]`` in ``conf.toml``, ``--quick`` (the study's, or else ``general_quick``), and
    ``sets`` of the command line. ``spec`` is None for a study that is not in the catalog.

    Raises:
        ConfigError: if a setting is unknown or wrong.
    """
    given = read_conf(conf, studies={*catalog.names(), *([] if spec is None else [spec.name])})
    searched = set() if spec is None else searched_settings(spec)
    file = catalog.file_of(study)
    layers = [given.general]
    if spec is not None:
        layers.append(make_layer(spec.given, source=f"{file} (fixed)", searched=searched))
    if study in given.studies:
        own = given.studies[study]
        written = {own.written[key]: value for key, value in own.values.items()}
        layers.append(make_layer(written, source=own.source, searched=searched))
    if quick and spec is not None and spec.quick:
        layers.append(make_layer(spec.quick, source=f"{file} (quick)", searched=searched))
    elif quick and spec is not None:
        layers.append(make_layer(general_quick(spec), source=GENERAL_QUICK))
    layers.append(make_layer(sets, source=SET, searched=searched))
    if spec is not None and spec.own is not None:
        _check_without_trainer(layers[1:], spec.label)
    return combine(layers)


def searched_settings(spec: StudySpec) -> set[str]:
    """Return the full dotted names of the settings that the study's trials decide."""
    if spec.own is not None:
        return set()
    return {f"train.{spec.space.setting(name)}" for name in spec.space.parameters}


def unused_settings(spec: StudySpec) -> set[str]:
    """Return the full names of the settings that say nothing: searched, or of no use."""
    if spec.own is not None:
        return {name for name in Settings.setting_names() if name.startswith("train.")}
    return searched_settings(spec)


def _check_without_trainer(layers: Iterable[Layer], objective: str) -> None:
    """Refuse settings of the trainer, which another objective does not have."""
    # Those of ``conf.toml`` itself are for the studies that have a trainer.
    for layer in layers:
        for key, name in layer.written.items():
            if key.startswith("train."):
                raise ConfigError(
                    f"{layer.source}: {name} is a setting of the trainer, but the objective of the"
                    f" study is {objective}, which does not have it; leave it out"
                )


def general_quick(spec: StudySpec) -> dict[str, Any]:
    """Return the settings of a small run of a study that has no ``quick`` of its own."""
    trials = min(spec.trials, max(QUICK_TRIALS, len(spec.choices)))
    small: dict[str, Any] = {"epochs": 1, "search.trials": trials, "confirm.seeds": 3}
    if spec.own is not None:
        del small["epochs"]
    searched = searched_settings(spec)
    return {name: value for name, value in small.items() if f"train.{name}" not in searched}


def read_conf(path: Path | None, *, studies: Iterable[str]) -> Conf:
    """Read ``path``, or ``conf.toml`` in the working directory, which may be missing.

    Raises:
        ConfigError: if it cannot be read, is not TOML, a name is wrong, or a table is for a study
            that is not among ``studies``.
    """
    source = str(path or CONF)
    # A link that leads nowhere is a mistake, not a file that was never written.
    missing = path is None and not (CONF.exists() or CONF.is_symlink())
    tables = {} if missing else parsing.toml_file(path or CONF)
    project = plugins.project_path(tables, source=source)
    if project and path is not None and path.absolute() != CONF.absolute():
        raise ConfigError(
            f"{source}: project.path is read from {CONF} in the working directory only, as it"
            " decides which code is run; leave it out here"
        )
    overrides = tables.pop("studies", {})
    if not isinstance(overrides, Mapping):
        raise ConfigError(f"{source}: studies must hold a table per study, but got {overrides!r}")
    by_study = {}
    for name, values in overrides.items():
        if name not in studies:
            raise ConfigError(f"{source}: {unknown_name('study', name, studies)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source}: studies.{name} must be a table, but got {values!r}")
        by_study[name] = make_layer(values, source=f"{source} [studies.{name}]")
    return Conf(make_layer(tables, source=source), by_study)


def make_layer(values: Mapping[str, Any], *, source: str, searched: Iterable[str] = ()) -> Layer:
    """Return ``values``, nested or by dotted keys, by full dotted name, and check the names.

    Args:
        source: the file or option, named in errors.
        searched: full names of the settings that the study's trials decide; they are refused.

    Raises:
        ConfigError: if a name is unknown, given twice, a table, searched or decided by the study.
    """
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    for name, value in flat_items(values, keep_empty=True):
        if value == {} and _is_table(name):
            continue
        key = _full_name(name, source=source)
        if key in found:
            raise ConfigError(f"{source}: {key} is given twice, as {written[key]} and as {name}")
        if key in _OF_THE_PLAN:
            raise ConfigError(f"{source}: {name}: {_OF_THE_PLAN[key]}")
        if key in searched:
            raise ConfigError(
                f"{source}: {name} is searched by this study, so it cannot be set; leave it out"
            )
        found[key] = value
        written[key] = name
    return Layer(source, found, written)


def combine(layers: Sequence[Layer]) -> tuple[Settings, dict[str, str]]:
    """Return the settings of all layers, the first ``conf.toml``, and each one's source."""
    nested = Settings().model_dump()
    settings, origins = Settings(), {}
    for layer in layers:
        for key, value in layer.values.items():
            # conf.toml spells out every default; only what it changes comes from it.
            if layer is not layers[0] or setting_of(nested, key) != value:
                origins[key] = layer.source
            put_setting(nested, key, value)
        _check_model_options(layer, str(setting_of(nested, f"{MODEL}.name")))
        try:
            settings = Settings.from_mapping(nested, source=layer.source)
        except ConfigError as error:
            raise ConfigError(_as_written(str(error), layer)) from None
    return settings, origins


def _full_name(name: str, *, source: str) -> str:
    """Return the full dotted name of setting ``name``, which may lack ``train.``."""
    key = full_name(name)
    names = Settings.setting_names()
    if key in names or any(key.startswith(f"{option}.") for option in OPTIONS):
        return key
    if key.rpartition(".")[0] == MODEL:  # perhaps the model's own: ``combine`` knows which it is
        return key
    raise _unknown(name, key, source=source)


def _check_model_options(layer: Layer, model: str) -> None:
    """Raise ``ConfigError`` if the layer has an option of ``model`` that it cannot have."""
    names = Settings.setting_names()
    for key, name in layer.written.items():
        own = key.rpartition(".")[0] == MODEL and key not in names
        if own and not model_files.declares_options(model):
            raise _unknown(name, key, source=layer.source)


def _unknown(name: str, key: str, *, source: str) -> ConfigError:
    """Return the error of the setting ``key``, written as ``name``."""
    names = Settings.setting_names()
    inside = [short_name(n) for n in names if n.startswith(f"{key}.")]
    if inside:
        return ConfigError(f"{source}: {name} is a table; set one of {', '.join(inside)}")
    table = key.rpartition(".")[0]
    while table and not any(name.startswith(f"{table}.") for name in names):
        table = table.rpartition(".")[0]
    prefix = f"{table}." if table else ""
    inside = [n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)]
    siblings = {short_name(prefix + n) for n in inside if prefix + n not in _OF_THE_PLAN}
    unknown = unknown_setting(short_name(key), siblings, (short_name(name) for name in names))
    return ConfigError(f"{source}: {unknown}")


def _is_table(name: str) -> bool:
    starts = (f"{name}.", f"train.{name}.")
    return name in OPTIONS or any(key.startswith(starts) for key in Settings.setting_names())


def _as_written(message: str, layer: Layer) -> str:
    for key, name in layer.written.items():
        start = f"{layer.source}: {key}: "
        if message.startswith(start):
            return f"{layer.source}: {name}: {message.removeprefix(start)}"
    return message
