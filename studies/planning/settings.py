"""Settings of a run: the defaults here, ``conf.toml``, the study's own, and the command line.

A setting has a dotted name, ``train.optim.lr`` or ``search.trials``, and the same name everywhere:
as nested tables or dotted keys in ``conf.toml``, in a study's ``fixed`` and ``quick``, and behind
``--set``. The trainer's settings may be written without ``train.`` (``epochs``, ``data.name``,
``[data]``). Every mistake is one line that names the file or option and the key.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mnist_core import parsing
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.nested import flat_items
from mnist_core.table import Table, unknown_setting
from studies.planning.ray_settings import RaySettings
from studies.planning.tracking_settings import TrackingSettings

SET = "--set"
"""The source of settings that the command line gave."""

RECORDED = "the study's record"
"""The source of settings with which a study was run, and which would be others now."""

CONF = Path("conf.toml")
"""Read from the working directory unless ``--conf`` names another; may be missing."""

_OF_THE_PLAN = {
    "train.seed": "every trial has its own seed, drawn from search.seed; set search.seed",
    "train.threads": "workers share the CPU cores; set engine.threads",
}
"""Settings of the trainer that a study decides for each trial."""


class StopSettings(Table):
    """When the search ends before its last trial; what runs then is finished."""

    seconds: float = Field(0.0, ge=0, description="wall time of this run's search; 0: no limit")
    failed_share: float = Field(
        1.0, ge=0, le=1, description="share of this run's trials that failed; 0: no limit"
    )
    failed_after: int = Field(10, ge=1, description="so many trials are waited for before that")
    target: float | None = Field(None, description="a value of the metric; left out: none")
    patience: int = Field(0, ge=0, description="trials without a better one; 0: no limit")
    regret: float = Field(
        0.0, ge=0, description="what Optuna's terminator thinks can be gained; 0: not asked"
    )


class SearchSettings(Table):
    """How the search goes."""

    seed: int = Field(0, ge=0, lt=2**63, description="seed of the sampler and of all trials' seeds")
    trials: int | None = Field(None, ge=1, le=1_000_000, description="left out: the study's own")
    trials_complete: int | None = Field(
        None, ge=1, le=100_000, description="that run their full budget; then the search ends"
    )
    trials_per_choice: int | None = Field(None, ge=0, description="left out: the study's own")
    order: Literal["async", "batch"] = "async"
    batch: int = Field(8, ge=1, le=10_000, description="trials of a batch in batch order")
    sampler: str = Field("tpe", min_length=1)
    sampler_options: dict[str, Any] = Field(default_factory=dict)
    pruner: str = Field("median", min_length=1)
    pruner_options: dict[str, Any] = Field(default_factory=dict)
    sentinels: float = Field(
        0.0, ge=0, description="trials that run unpruned, to audit the pruner; below 1: their share"
    )
    objectives: dict[str, Literal["maximize", "minimize"]] = Field(default_factory=dict)
    constraints: dict[str, float] = Field(default_factory=dict, description="at most so much")
    enqueue: list[str] = Field(
        default_factory=list, description="TOML files of configurations to begin with"
    )
    imports: list[str] = Field(
        default_factory=list, description="CSV files of results that teach the sampler"
    )
    retries: int = Field(2, ge=0, le=100, description="of a trial that was lost with its worker")
    stop: StopSettings = StopSettings()


class ConfirmSettings(Table):
    """How the found configurations are confirmed."""

    front: int = Field(8, ge=1, description="at most so many of a Pareto front")
    seeds: int | None = Field(None, ge=2, le=1000, description="left out: the study's own")
    racing: bool = Field(
        False, description="clear losers get fewer seeds, see confirmation/racing.py"
    )


class EngineSettings(Table):
    """Where trials run."""

    name: str = Field("local", min_length=1)
    workers: int = Field(0, ge=0, le=1024, description="worker processes; 0: chosen by the machine")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads a worker; 0: cores / workers")
    affinity: bool = Field(True, description="each worker on cores of its own, when all are used")
    trial_seconds: float = Field(0.0, ge=0, description="wall time of one attempt; 0: no limit")
    trial_memory_gib: float = Field(
        0.0, ge=0, description="main memory of a worker with all that it started; 0: no limit"
    )
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="a trial's state is kept not more often; 0: never"
    )
    ray: RaySettings = RaySettings()


class StorageSettings(Table):
    """Where Optuna keeps the study."""

    url: str = Field("", description="empty: a SQLite file in the study's folder of results")


class ResultsSettings(Table):
    """Where files go."""

    folder: str = Field("results", min_length=1)


class Settings(Table):
    """All settings of one run."""

    train: TrainConfig = TrainConfig()
    search: SearchSettings = SearchSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    engine: EngineSettings = EngineSettings()
    storage: StorageSettings = StorageSettings()
    results: ResultsSettings = ResultsSettings()
    tracking: TrackingSettings = TrackingSettings()


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Attributes:
        source: the file or option, named in errors and by ``show``.
        values: by full dotted name.
        written: how each was written, by full dotted name.
    """

    source: str
    values: Mapping[str, Any]
    written: Mapping[str, str]


@dataclass(frozen=True)
class Conf:
    """What ``conf.toml`` says: for all studies, and for some."""

    general: Layer
    studies: Mapping[str, Layer]


def make_layer(values: Mapping[str, Any], *, source: str, searched: Iterable[str] = ()) -> Layer:
    """Bring nested or dotted ``values`` to full dotted names, and check the names.

    Args:
        values: nested tables, dotted keys or both.
        source: the file or option, named in errors.
        searched: full names of the settings that the study's trials decide; they are refused.

    Raises:
        ConfigError: a name is unknown, given twice, a table, searched or decided by the study.
    """
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    for name, value in flat_items(values, keep_empty=True):
        if value == {} and _is_table(name):
            continue
        key = full_name(name, source=source)
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


def full_name(name: str, *, source: str) -> str:
    """Return the full dotted name of setting ``name``, which may lack ``train.``.

    Raises:
        ConfigError: there is no such setting, or it is a table.
    """
    key = name
    if name.partition(".")[0] in TrainConfig.model_fields:
        key = f"train.{name}"
    names = Settings.setting_names()
    if key in names or any(key.startswith(f"{option}.") for option in OPTIONS):
        return key
    inside = [short_name(n) for n in names if n.startswith(f"{key}.")]
    if inside:
        raise ConfigError(f"{source}: {name} is a table; set one of {', '.join(inside)}")
    raise ConfigError(f"{source}: {_unknown(key)}")


def short_name(key: str) -> str:
    """Return the shortest name of a setting: the trainer's without ``train.``."""
    return key.removeprefix("train.")


def combine(layers: Sequence[Layer]) -> tuple[Settings, dict[str, str]]:
    """Lay ``layers`` over the defaults, later ones on top; the first is ``conf.toml``.

    Returns:
        The settings, and the source of each that is not a default, by full dotted name.

    Raises:
        ConfigError: a value is of the wrong type or out of range; names its layer.
    """
    nested = Settings().model_dump()
    settings, origins = Settings(), {}
    for layer in layers:
        for key, value in layer.values.items():
            *parents, leaf = key.split(".")
            table = nested
            for parent in parents:
                table = table.setdefault(parent, {})
            # conf.toml spells out every default; only what it changes comes from it.
            if layer is not layers[0] or table.get(leaf) != value:
                origins[key] = layer.source
            table[leaf] = value
        try:
            settings = Settings.from_mapping(nested, source=layer.source)
        except ConfigError as error:
            raise ConfigError(_as_written(str(error), layer)) from None
    return settings, origins


def read_conf(path: Path | None, *, studies: Iterable[str]) -> Conf:
    """Read ``path``; if None, ``conf.toml`` in the working directory, which may be missing.

    Args:
        path: as given by ``--conf``.
        studies: names of all studies; a table for any other is refused.

    Raises:
        ConfigError: unreadable, no TOML, or a name is wrong.
    """
    source = str(path or CONF)
    if path is None and not CONF.exists():
        tables: dict[str, Any] = {}
    else:
        tables = parsing.toml_file(path or CONF)
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


OPTIONS = tuple(
    f"search.{name}" for name in ("sampler_options", "pruner_options", "objectives", "constraints")
)
"""Tables whose keys are free; Optuna knows them, or ``studies/core/goals.py``."""


def _is_table(name: str) -> bool:
    starts = (f"{name}.", f"train.{name}.")
    return name in OPTIONS or any(key.startswith(starts) for key in Settings.setting_names())


def _unknown(key: str) -> str:
    names = Settings.setting_names()
    table = key.rpartition(".")[0]
    while table and not any(name.startswith(f"{table}.") for name in names):
        table = table.rpartition(".")[0]
    prefix = f"{table}." if table else ""
    siblings = {
        prefix + name.removeprefix(prefix).split(".")[0]
        for name in names
        if name.startswith(prefix)
    }
    siblings -= _OF_THE_PLAN.keys()
    shown = [short_name(name) for name in siblings]
    return unknown_setting(short_name(key), shown, (short_name(name) for name in names))


def _as_written(message: str, layer: Layer) -> str:
    for key, name in layer.written.items():
        start = f"{layer.source}: {key}: "
        if message.startswith(start):
            return f"{layer.source}: {name}: {message.removeprefix(start)}"
    return message
