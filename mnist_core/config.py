"""The trainer's configuration, from TOML tables or dotted overrides: frozen and validated.

The same config, data and seed give the same result.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mnist_core import parsing
from mnist_core.changes import Change
from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from mnist_core.losses import LossConfig as LossConfig
from mnist_core.optim import OptimConfig as OptimConfig
from mnist_core.plugins import model_files
from mnist_core.table import Table

ScheduleName = Literal["constant", "step", "cosine", "one_cycle", "plateau"]
Activation = Literal["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"]
Norm = Literal["none", "batch", "group"]
Pooling = Literal["max", "average"]
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16", "fp64"]
RECORD = "record"
"""The table in which a study's best_config.toml says what it measured; not a setting."""


class DataConfig(Table):
    """Which images, and how they are split."""

    name: str = Field(
        "mnist-10pct",
        description="data set, see `python -m mnist_core data show`, or the path of your images",
    )
    root: str = Field("", description="folder with IDX files; empty: the cache folder")
    size: int | None = Field(
        None, ge=4, le=128, description="pixels a side to scale to; left out: as the files are"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1: grey, 3: colour; left out: as the files are"
    )
    balance: Literal["loss", "batches"] | None = Field(
        None,
        description="classes of few images: their loss counts more, or they are drawn more often;"
        " left out: as they come",
    )
    split_seed: int = Field(0, ge=0, description="seed of the stratified train/validation split")
    test_set: bool = Field(True, description="false: there is none, and nothing is tested")
    confirm: Literal["own", "half", "none"] = Field(
        "own",
        description="images that judge confirmed models: the data set's own (if it has none, a"
        " study takes half of 4,000 or more validation images), half of the validation images, or"
        " none apart from those",
    )

    @property
    def title(self) -> str:
        """The name; of a path its last part, which says nothing of this machine."""
        return self.name.rstrip("/").rpartition("/")[2] or self.name


class ModelConfig(Table):
    """Which network. A value left out is the model's own default; unknown ones are refused.

    Those of a model that declares its ``Options`` are checked by ``models.resolve``.
    """

    model_config = ConfigDict(extra="allow")

    name: str = Field("net", description="a file in mnist_core/models/")
    activation: Activation | None = None
    depth: int | None = Field(None, ge=1, le=8, description="convolutions")
    width: int | None = Field(None, ge=1, le=1024, description="channels of the first convolution")
    growth: float | None = Field(None, ge=0.5, le=4, description="channels from layer to layer")
    kernel: int | None = Field(None, ge=1, le=9, description="odd, pixels")
    norm: Norm | None = None
    pooling: Pooling | None = None
    pools: int | None = Field(None, ge=0, le=8, description="how many layers are pooled, 2x2")
    global_pool: bool | None = Field(None, description="average over the image before the head")
    head_width: int | None = Field(None, ge=0, le=4096, description="hidden units; 0: no layer")
    dropout: float | None = Field(None, ge=0, lt=1, description="before and in the head")
    embedding: int | None = Field(None, ge=1, le=4096, description="pairs: values an image")
    stem: int | None = Field(None, description="resnet18: kernel of the first layer, 3 or 7")

    @model_validator(mode="wrap")
    @classmethod
    def _options_are_known(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse options that are not listed here, unless the model declares its own."""
        if not isinstance(values, Mapping):
            return handler(values)
        name = values.get("name", cls.model_fields["name"].default)
        given = {key: value for key, value in values.items() if key != "name" and value is not None}
        if given and isinstance(name, str) and model_files.declares_options(name):
            # An own option may have the name of one that is listed here, and another range.
            own = handler({"name": name})
            assert own.model_extra is not None
            for key, value in given.items():
                (vars(own) if key in cls.model_fields else own.model_extra)[key] = value
            return own
        listed = cls.model_fields
        made = handler({k: v for k, v in values.items() if k in listed or v is not None})
        if unknown := made.model_extra:
            raise ValidationError.from_exception_data(
                cls.__name__,
                [
                    {"type": "extra_forbidden", "loc": (key,), "input": value}
                    for key, value in unknown.items()
                ],
            )
        return made


class ScheduleConfig(Table):
    """How the learning rate moves; it is updated at every step."""

    name: ScheduleName = "constant"
    warmup: float = Field(0.0, ge=0, lt=1, description="fraction of all steps, linear from 0")
    step_epochs: int = Field(1, ge=1, description="step: epochs between two drops")
    gamma: float = Field(0.7, gt=0, le=1, description="step: factor of a drop")
    final: float = Field(0.0, ge=0, le=1, description="cosine: last lr as a fraction of optim.lr")
    peak: float = Field(0.3, gt=0, lt=1, description="one_cycle: fraction of steps up to optim.lr")
    factor: float = Field(0.5, gt=0, lt=1, description="plateau: factor of a drop")
    patience: int = Field(2, ge=0, description="plateau: reports without a lower loss")
    min_lr: float = Field(0.0, ge=0, description="plateau: the learning rate stays above")


class AugmentConfig(Table):
    """Random changes of the training images, on the device, a whole batch at a time. All 0: off."""

    shift: float = Field(0.0, ge=0, le=0.5, description="greatest shift, fraction of the width")
    rotate: float = Field(0.0, ge=0, le=180, description="greatest rotation, degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="greatest change of size, share")
    shear: float = Field(0.0, ge=0, le=45, description="greatest shear, degrees")
    affine_p: float = Field(1.0, ge=0, le=1, description="fraction of images the four above change")
    elastic: float = Field(0.0, ge=0, le=10, description="greatest displacement, pixels")
    elastic_sigma: float = Field(4.0, gt=0, le=14, description="smoothness of it, pixels")
    blur_p: float = Field(0.0, ge=0, le=1, description="fraction of images that are blurred, 3x3")
    blur_low: float = Field(0.1, gt=0, le=10, description="smallest sigma of the blur, pixels")
    blur_high: float = Field(1.0, gt=0, le=10, description="greatest sigma of the blur, pixels")
    erase_p: float = Field(0.0, ge=0, le=1, description="fraction of images that lose a rectangle")
    erase_area: float = Field(0.2, gt=0, le=1, description="largest fraction of the image it takes")

    @field_validator("blur_high")
    @classmethod
    def _blur_is_a_range(cls, value: float, info: ValidationInfo) -> float:
        low = info.data.get("blur_low")  # absent where it was refused itself
        if low is not None and low > value:
            raise ValueError(f"must not be below blur_low ({low:g})")
        return value

    @property
    def affine(self) -> bool:
        """Whether images are moved, turned, scaled or sheared."""
        return self.affine_p > 0 and any((self.shift, self.rotate, self.scale, self.shear))

    @property
    def active(self) -> bool:
        """Whether any change is asked for."""
        return self.affine or any((self.elastic, self.blur_p, self.erase_p))


class PairsConfig(Table):
    """Pairs of images, for the models that compare two."""

    per_epoch: int = Field(12_000, ge=2, le=10_000_000, description="fresh training pairs an epoch")
    evaluation: int = Field(4_000, ge=2, le=1_000_000, description="fixed pairs to judge by")


class AverageConfig(Table):
    """Averaged weights, which are validated, kept and served."""

    name: Literal["none", "ema", "swa"] = "none"
    decay: float = Field(0.999, ge=0, lt=1, description="ema: fraction of the old average a step")
    start: float = Field(0.8, ge=0, lt=1, description="swa: fraction of the training before it")


class TrainConfig(Table):
    """Everything one training depends on."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    pairs: PairsConfig = PairsConfig()
    average: AverageConfig = AverageConfig()
    epochs: int = Field(5, ge=1, le=100_000)
    batch_size: int = Field(64, ge=1, le=65_536)
    seed: int = Field(0, ge=0, lt=2**63, description="weights, order of batches, augmentation")
    grad_clip: float = Field(0.0, ge=0, description="greatest L2 norm of the gradient; 0: off")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    accumulate: int = Field(1, ge=1, le=1024, description="batches a step of the optimizer")
    early_stopping: int = Field(0, ge=0, description="reports without a better one; 0: off")
    reports_per_epoch: int = Field(1, ge=1, le=1000, description="validations per epoch")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 …")
    precision: Precision = Field("auto", description="auto: bf16 where the device is built for it")
    deterministic: bool = Field(False, description="refuse operations whose result may vary")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0: OMP_NUM_THREADS, else all")
    compile: bool = Field(False, description="torch.compile the model")
    cuda_graph: bool = Field(False, description="GPU: the step of a full batch as one graph")
    changes: tuple[Change, ...] = Field(
        (), strict=False, description="settings that change midway, see mnist_core/changes.py"
    )

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, but got {self.device!r}")
        return self

    @model_validator(mode="after")
    def _changes_fit(self) -> Self:
        before = 0
        for change in self.changes:
            if change.epoch <= before:
                raise ValueError(
                    f"changes: epochs must rise, but {change.epoch} comes after {before}"
                )
            if change.epoch >= self.epochs:
                raise ValueError(
                    f"changes: one is to come after {counted(change.epoch, 'epoch')}, but the"
                    f" training has {self.epochs}; it must be before the last"
                )
            before = change.epoch
            try:
                self.in_force(change.epoch)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    def in_force(self, epochs: int) -> "TrainConfig":
        """Return the settings after ``epochs`` epochs; raise ConfigError if one is out of range."""
        if not self.changes:
            return self
        settings: dict[str, Any] = {}
        latest = 0
        for change in self.changes:
            if change.epoch <= epochs:
                settings |= dict(change.settings)
                latest = change.epoch
        return self.override({**settings, "changes": ()}, source=f"changes (epoch {latest})")

    def stages(self) -> list["TrainConfig"]:
        """Return the settings of the first epoch and those after each change."""
        return [self.in_force(epochs) for epochs in (0, *(c.epoch for c in self.changes))]

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values as ``Table.to_dict`` does.

        ``changes`` is among them only if there are, ``data.test_set`` only if there is none.
        """
        values = super().to_dict()
        if values["data"]["test_set"]:
            del values["data"]["test_set"]
        changes = values.pop("changes")
        return {**values, "changes": list(changes)} if changes else values


def read_settings(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings and record (perhaps empty) of a file; raise ConfigError if it is not TOML."""
    tables = parsing.toml_file(path)
    record = tables.pop(RECORD, {})
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: {RECORD} must be a table, but got {record!r}")
    return tables, record
