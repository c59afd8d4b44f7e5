"""A model's own options: the class ``Options`` in its file, a ``Table``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import create_model

from mnist_core.config import ModelConfig
from mnist_core.errors import ConfigError
from mnist_core.table import Table


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a model, for people to read."""

    name: str
    default: Any
    values: str  # what it can be, e.g. ``integer, 1 to 16``
    description: str


def checked(options: Any, config: ModelConfig, file: str) -> Table:
    """Return the class ``options`` of a model's ``file`` with the values of ``config``.

    Raises:
        ConfigError: if it is not a ``Table``, or refuses a name or a value.
    """
    if not (isinstance(options, type) and issubclass(options, Table)):
        raise ConfigError(
            f"{file}: Options must be a class derived from mnist_core.table.Table, but got"
            f" {options!r}"
        )
    given = {name: value for name, value in config.to_dict().items() if name != "name"}
    # In a table ``model``, so that a mistake names the setting as it is written.
    around: Any = create_model("Around", __base__=Table, model=(options, ...))
    made: Any = around.from_mapping({"model": given}, source=file)
    own: Table = made.model
    return own


def described(module: Any) -> Iterator[Option]:
    """Yield the options of the model in ``module``."""
    kind, defaults = getattr(module, "Options", None), getattr(module, "OPTIONS", {})
    table = ModelConfig if kind is None else kind
    for name, schema in table.model_json_schema()["properties"].items():
        if kind is None and name not in defaults:
            continue
        default = defaults[name] if kind is None else schema.get("default")
        words = (_values(one) for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
        about = schema.get("description", "")
        yield Option(name=name, default=default, values=" or ".join(words), description=about)


def _values(schema: dict[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "anything")
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    ends = [
        *([f"at least {low:g}"] if low is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"at most {high:g}"] if high is not None else []),
        *([f"below {below:g}"] if below is not None else []),
    ]
    if low is not None and high is not None:
        ends = [f"{low:g} to {high:g}"]
    return ", ".join([kind, *ends])
