"""Presets: trainings with a name and a claim, one TOML file each.

A file holds the settings of a training and a table ``preset``. With ``[[variant]]`` it holds
several trainings that are compared. A new file is a new preset; nothing else is to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mnist_core import parsing
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.table import Table, flatten

_FOLDER = Path(__file__).parent
_PRESET, _VARIANT = "preset", "variant"


class About(Table):
    """The table ``preset`` of a file. Metrics are called as in results, without their split."""

    title: str = Field(min_length=1, description="what it is, one line")
    source: str = Field(min_length=1, description="who made it")
    claim: str = Field(min_length=1, description="what is claimed, in words and numbers")
    metric: str = Field("accuracy", description="what it is judged by, e.g. accuracy, macro_f1")
    claimed: dict[str, float] = Field({}, description="metric to value on the test images")
    seeds: int = Field(3, ge=1, description="trainings of each variant")
    test_on: str = Field("", description="data set whose test images decide; empty: its own")
    notes: list[str] = Field([], description="deviations from the source, and why")


class Variant(Table):
    """One training of a preset."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    claimed: dict[str, float] = Field({}, description="metric to value on the test images")
    settings: dict[str, Any] = Field({}, description="on top of the preset's")

    @field_validator("settings")
    @classmethod
    def _seeds_are_given_by_the_run(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "seed" in value:
            raise ValueError("must not fix the seed")
        return value


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One preset."""

    name: str
    about: About
    config: TrainConfig
    variants: tuple[Variant, ...]

    def config_of(self, variant: Variant, changes: Mapping[str, Any] | None = None) -> TrainConfig:
        """Return the settings of a variant with changes; raise ``ConfigError`` if one is wrong."""
        own = self.config.override(flatten(variant.settings), source=f"variant {variant.name}")
        return own.override(changes or {})

    def variant(self, name: str) -> Variant:
        """Return the variant ``name``; raise ``ConfigError`` if there is none."""
        by_name = {variant.name: variant for variant in self.variants}
        if name not in by_name:
            raise ConfigError(unknown_name(f"variant of {self.name}", name, by_name))
        return by_name[name]


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Preset:
    """Return the preset ``name``; raise ``ConfigError`` if there is none, or its file is wrong."""
    if name not in names():
        raise ConfigError(unknown_name("preset", name, names()))
    return read(_FOLDER / f"{name}.toml")


def find(path: Path) -> Path:
    """Return ``path`` itself, or the file of the preset of that name if ``path`` does not exist."""
    if path.exists() or path.name != str(path) or path.suffix not in ("", ".toml"):
        return path
    return _FOLDER / f"{path.stem}.toml" if path.stem in names() else path


def is_preset(tables: Mapping[str, Any]) -> bool:
    """Return whether the content of a TOML file is a preset's."""
    return _PRESET in tables or _VARIANT in tables


def read(path: Path) -> Preset:
    """Read a preset's file; raise ConfigError if it cannot be read, or a setting of it is wrong."""
    tables = parsing.toml_file(path)
    said, given = tables.pop(_PRESET, {}), tables.pop(_VARIANT, [])
    if not isinstance(given, list) or "seed" in tables:
        raise ConfigError(f"{path}: variants are written [[variant]], and none fixes the seed")
    about = About.from_mapping(said, source=f"{path}: {_PRESET}")
    variants = [Variant.from_mapping(entry, source=f"{path}: {_VARIANT}") for entry in given]
    if not variants:
        variants = [Variant(name=path.stem, claimed=about.claimed)]
    elif about.claimed:
        raise ConfigError(f"{path}: preset.claimed: with variants, each has its own")
    if len({variant.name for variant in variants}) < len(variants):
        raise ConfigError(f"{path}: two variants have the same name")
    preset = Preset(
        name=path.stem,
        about=about,
        config=TrainConfig.from_mapping(tables, source=str(path)),
        variants=tuple(variants),
    )
    for variant in variants:
        preset.config_of(variant)
    return preset
