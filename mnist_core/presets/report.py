"""All presets that were run, as one Markdown table: the claims, and the results here."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnist_core import parsing, presets
from mnist_core.console.plain_text import counted
from mnist_core.console.shell_words import command
from mnist_core.errors import UserError
from mnist_core.presets import Preset
from mnist_core.presets.outcome import Estimate, Row
from mnist_core.presets.runs import RESULT
from mnist_core.table import ABSENT, as_assignment, difference

COLUMNS = ("variant", "metric", "claim (test)", "validation", "test", "test - claim", "n", "s")
_HEADER = (f"| preset | {' | '.join(COLUMNS)} |", "|---|---|---|--:|--:|--:|--:|--:|--:|")
_SHARES = ("accuracy", "balanced_accuracy", "macro_f1")
_MACHINE = ("threads", "device", "precision", "seed", "data.root")
"""Settings that say where it ran, not what was trained."""


def markdown(folder: Path) -> str:
    """Return the table of all presets that were run; raise UserError if none, or one is damaged."""
    lines, notes = list(_HEADER), []
    for name in presets.names():
        file = folder / name / RESULT
        content = _read(file)
        if content is None:
            continue
        preset = presets.load(name)
        try:
            rows = [Row.from_dict(row) for row in content["summary"]]
            lines += [f"| `{name}` | {' | '.join(cells(row))} |" for row in rows]
            those = [entry for entry in content["trainings"] if entry["name"] in content["of"]]
            notes += [f"- `{name}`: {note}" for note in _notes(preset, those)]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}: is damaged: {error!r}; run the preset again") from None
    if len(lines) == len(_HEADER):
        raise UserError(
            f"{folder}: no preset was run; `{command('mnist_core', 'presets', 'list')}` says which"
            " there are"
        )
    return "\n".join([*lines, "", *notes])


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = parsing.json_text(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read or is damaged: {error}") from None
    if not isinstance(content, dict) or "summary" not in content:
        return None  # interrupted before its first end
    return content


def cells(row: Row) -> list[str]:
    """Return variant, metric, claim, validation, test, test - claim, n and seconds as text."""
    metric = f"{row.metric} %" if row.metric in _SHARES else row.metric
    gap = "-"
    if row.test is not None and row.claimed is not None:
        gap = _interval(row.metric, row.test, less=row.claimed)
    return [
        row.variant,
        metric,
        "-" if row.claimed is None else number(row.metric, row.claimed, unit=False),
        _interval(row.metric, row.validation),
        _interval(row.metric, row.test),
        gap,
        f"{row.validation.n if row.validation else 0}"
        + (f" ({row.failed} failed)" if row.failed else ""),
        "-" if row.seconds is None else f"{row.seconds:.1f}",
    ]


def number(metric: str, value: float, *, unit: bool = True, sign: str = "") -> str:
    """Return a metric as text: a fraction in per cent with two decimals, others with four."""
    if metric in _SHARES:
        return f"{100 * value:{sign}.2f}{' %' if unit else ''}"
    return f"{value:{sign}.4f}"


def _interval(metric: str, estimate: Estimate | None, *, less: float | None = None) -> str:
    if estimate is None:
        return "-"
    sign = "" if less is None else "+"
    mean = number(metric, estimate.mean - (less or 0.0), unit=False, sign=sign)
    if math.isnan(estimate.half_width):
        return mean
    return f"{mean} ± {number(metric, estimate.half_width, unit=False)}"


def _notes(preset: Preset, trainings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each machine and set of changed settings that it was run with."""
    from mnist_core import train as trainer  # torch takes seconds to import

    found = []
    for entry in trainings:
        if "failed" in entry:
            continue
        variant = preset.variant(entry["variant"])
        whole = trainer.resolve(preset.config_of(variant)).to_dict()  # with what it leaves out
        changed = [
            as_assignment(name, value)
            for name, _, value in difference(whole, entry["config"])
            if name not in _MACHINE and value is not ABSENT
        ]
        config, versions = entry["config"], entry["versions"]
        said = (
            f"{config['data']['name']}, {entry['device_name']},"
            f" {counted(config['threads'], 'thread')},"
            f" {config['precision']}, torch {versions['torch']}, trainer {versions['trainer']}"
        )
        if changed:
            said += f"; CHANGED: {', '.join(changed)}"
        if said not in found:
            found.append(said)
    return found
