"""The trainer's configuration: frozen, validated, printable.

A ``TrainConfig`` says everything a training depends on; the same config, data and seed give the
same result. It is read from TOML tables or dotted overrides (``optim.lr=0.01``) and every mistake
is one line that names the key, what came and what is allowed.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mnist_core.errors import ConfigError

OptimizerName = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "adamw",
    "nadam",
    "rmsprop",
    "adadelta",
    "adagrad",
]
ScheduleName = Literal["constant", "step", "cosine", "one_cycle"]
Precision = Literal["auto", "fp32", "bf16"]
OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)


class Table(BaseModel):
    """One table of settings: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Return the dotted names of all settings, in order, down through nested tables."""
        keys: list[str] = []
        for name, info in cls.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, Table):
                keys.extend(f"{name}.{key}" for key in info.annotation.setting_names())
            else:
                keys.append(name)
        return tuple(keys)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str) -> Self:
        """Build from nested ``values``; ``source`` (a file or option) is named in errors.

        Raises:
            ConfigError: an unknown key (with the nearest valid one), a wrong type or range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_first_problem(cls, error)}") from None

    def override(self, values: Mapping[str, Any], *, source: str = "--set") -> Self:
        """Return a copy with dotted keys replaced, e.g. ``{"optim.lr": 0.01}``.

        Raises:
            ConfigError: as ``from_mapping``.
        """
        nested = self.model_dump()
        for key, value in values.items():
            *parents, leaf = key.split(".")
            table = nested
            for depth, parent in enumerate(parents):
                if not isinstance(table.get(parent), dict):
                    prefix = ".".join([*parents[:depth], ""])
                    siblings = {
                        prefix + name.removeprefix(prefix).partition(".")[0]
                        for name in self.setting_names()
                        if name.startswith(prefix)
                    }
                    raise ConfigError(
                        f"{source}: {unknown_setting(key, siblings, self.setting_names())}"
                    )
                table = table[parent]
            if isinstance(table.get(leaf), dict) and not isinstance(value, Mapping):
                inner = ", ".join(f"{key}.{name}" for name in table[leaf])
                raise ConfigError(f"{source}: {key} is a table, set one of its keys ({inner})")
            table[leaf] = value
        return self.from_mapping(nested, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values; settings that are ``None`` are left out, as TOML has none."""
        return self.model_dump(exclude_none=True)


class DataConfig(Table):
    """Which images, and how they are split."""

    name: str = Field("mnist-10pct", description="data set, see `python -m mnist_core data show`")
    root: str = Field("", description="folder with IDX files; empty: the cache folder")
    split_seed: int = Field(0, ge=0, description="seed of the stratified train/validation split")


class ModelConfig(Table):
    """Which network."""

    name: str = Field("net", description="a file in mnist_core/models/")


class OptimConfig(Table):
    """The optimizer. A value left out is torch's default for that optimizer."""

    name: OptimizerName = "adam"
    lr: float | None = Field(None, gt=0, le=100, description="learning rate per step")
    weight_decay: float | None = Field(None, ge=0, le=10)
    momentum: float | None = Field(None, ge=0, lt=1, description="momentum, nesterov, rmsprop")
    beta1: float | None = Field(None, ge=0, lt=1, description="adam, adamw, nadam")
    beta2: float | None = Field(None, ge=0, lt=1, description="adam, adamw, nadam")
    alpha: float | None = Field(None, ge=0, lt=1, description="rmsprop: decay of the mean square")
    rho: float | None = Field(None, ge=0, lt=1, description="adadelta: decay of both means")
    eps: float | None = Field(None, gt=0, le=1)


class ScheduleConfig(Table):
    """How the learning rate moves; it is updated at every step."""

    name: ScheduleName = "constant"
    warmup: float = Field(0.0, ge=0, lt=1, description="share of all steps, linear from 0")
    step_epochs: int = Field(1, ge=1, description="step: epochs between two drops")
    gamma: float = Field(0.7, gt=0, le=1, description="step: factor of a drop")
    final: float = Field(0.0, ge=0, le=1, description="cosine: last lr as a share of optim.lr")
    peak: float = Field(0.3, gt=0, lt=1, description="one_cycle: share of steps up to optim.lr")


class AugmentConfig(Table):
    """Random changes of the training images, on the device, a whole batch at a time. All 0: off."""

    shift: float = Field(0.0, ge=0, le=0.5, description="greatest shift, share of the width")
    rotate: float = Field(0.0, ge=0, le=180, description="greatest rotation, degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="greatest change of size, share")
    shear: float = Field(0.0, ge=0, le=45, description="greatest shear, degrees")

    @property
    def active(self) -> bool:
        """Whether any change is asked for."""
        return any((self.shift, self.rotate, self.scale, self.shear))


class TrainConfig(Table):
    """Everything one training depends on."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    epochs: int = Field(5, ge=1, le=100_000)
    batch_size: int = Field(64, ge=1, le=65_536)
    seed: int = Field(0, ge=0, lt=2**63, description="weights, order of batches, augmentation")
    grad_clip: float = Field(0.0, ge=0, description="greatest L2 norm of the gradient; 0: off")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    reports_per_epoch: int = Field(1, ge=1, le=1000, description="validations per epoch")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 …")
    precision: Precision = Field("auto", description="auto: bf16 where the device is built for it")
    deterministic: bool = Field(False, description="refuse operations whose result may vary")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0: all cores")

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, but got {self.device!r}")
        return self


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``a.b=value`` into key and value; the value is read as TOML, else taken as a string.

    Raises:
        ConfigError: there is no ``=`` or no key.
    """
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: write KEY=VALUE, for example --set optim.lr=0.01")
    try:
        parsed = tomllib.loads(f"v = {raw.strip()}")
    # A number of thousands of digits and brackets nested as deep have errors of their own.
    except (ValueError, RecursionError):
        parsed = {}
    # More than one key: the text had lines of its own, so it was no value.
    return key.strip(), parsed["v"] if len(parsed) == 1 else raw.strip()


def unknown_setting(key: str, siblings: Iterable[str], keys: Iterable[str]) -> str:
    """One line that says ``key`` is no setting, with the nearest one of all.

    Args:
        key: what came, dotted.
        siblings: what is valid in the table where it was looked for; listed.
        keys: all settings; the nearest is one with the same last part (``lr``: ``optim.lr``), or
            else one that is spelled alike.
    """
    names, last = list(keys), key.rpartition(".")[2]
    same_last = [name for name in names if name.rpartition(".")[2] == last]
    near = difflib.get_close_matches(key, same_last, n=1, cutoff=0.0)
    near = near or difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown setting {key!r}{hint} (valid: {', '.join(sorted(siblings))})"


def _first_problem(cls: type[Table], error: ValidationError) -> str:
    """Say the first problem that pydantic found in one line, with the nearest valid key."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        model: Any = cls
        for part in problem["loc"][:-1]:
            model = model.model_fields[str(part)].annotation
        parents = where.rpartition(".")[0]
        valid = [f"{parents}.{name}" if parents else name for name in model.model_fields]
        return unknown_setting(where, valid, cls.setting_names())
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not where:
        return message
    return f"{where}: {message}, but got {problem['input']!r}"
