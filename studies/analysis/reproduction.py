"""Train an exported configuration again and compare the result with the record.

    python -m studies reproduce results/optim_search/best_config.toml

With the same device and versions the same seed gives the recorded value to the last digit.
Elsewhere sums are rounded in another order, so the value must lie where a further seed would.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from mnist_core.comparison.spread import difference, within
from mnist_core.config import read_settings
from mnist_core.console.shell_words import argument, command, program
from mnist_core.errors import ConfigError
from objectives import kinds
from objectives.adapter import Exported
from objectives.own.adapter import OwnConfiguration
from studies.core.formatting import possible
from studies.core.seal import SEAL, is_whole
from studies.statistics.intervals import mean_interval

EXACT, WITHIN, OUTSIDE = "exact", "within", "outside"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a file records.

    Attributes:
        metric: what it is judged by, e.g. ``val_accuracy``.
        value: the metric of the training with ``config.seed``.
        values: the metric of all recorded seeds, ``value`` among them.
        facts: versions, device and data that the record names.
        sealed: whether the file has a seal; without one its settings may have been changed.
        study: the study's name; "": the record does not say.
        program: the Python file with the objective, if a program defined the study; or "".
    """

    path: Path
    config: Exported | OwnConfiguration
    metric: str
    value: float
    values: tuple[float, ...]
    facts: Mapping[str, str]
    sealed: bool = True
    study: str = ""
    program: str = ""

    def interval(self, step: float = 0.0) -> tuple[float, float] | None:
        """Return where one more training lies in 95 of 100 cases; None after a single one."""
        n = len(self.values)
        if n < 2:
            return None
        # An accuracy is read by the image: its rounding error is uniform over one step.
        found = mean_interval(self.values, rounding=step / math.sqrt(12))
        # mean +- t(n - 1) * sd * sqrt(1 + 1/n): Hahn & Meeker, Statistical Intervals, 1991, 4.7.
        half = found.half_width * math.sqrt(n + 1)
        one = dataclasses.replace(found, low=found.mean - half, high=found.mean + half)
        cut = possible(self.metric, one)
        return cut.low, cut.high


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a repetition: ``EXACT``, ``WITHIN`` or ``OUTSIDE``.

    Attributes:
        differences: facts that differ from the record, e.g. ``torch 2.15.0 -> 2.16.0``.
        same: names of the facts that do not.
    """

    outcome: str
    text: str
    differences: tuple[str, ...]
    same: tuple[str, ...] = ()


def read(path: Path) -> Recorded:
    """Read an exported configuration.

    Raises:
        ConfigError: if it cannot be read, records no training, or was changed later.
    """
    tables, record = read_settings(path)
    config = kinds.exported(tables, source=str(path))
    if not is_whole(tables, record):
        raise ConfigError(
            f"{path}: was changed after it was exported (record.{SEAL} does not fit any more), so"
            " what it records is not of these settings; export it again, or train it as it is with"
            f" {command('mnist_core', 'train', argument(path))}"
        )
    if "objective" in record and not isinstance(config, OwnConfiguration):
        raise ConfigError(
            f"{path}: its value was measured by the objective {record['objective']!r}, not by the"
            " trainer, which alone can be run again from a file; run the study again instead"
        )
    confirm = record.get("confirm", {})
    if not isinstance(confirm, Mapping):
        raise ConfigError(f"{path}: record.confirm must be a table, but got {confirm!r}")
    metric = record.get("metric") or confirm.get("metric")
    value = record.get(str(metric))
    if not isinstance(metric, str) or not _is_number(value):
        raise ConfigError(
            f"{path}: records no measured value to compare with; write it with"
            " `studies export`, of the study that it is from"
        )
    values = confirm.get("values", [])
    if not isinstance(values, list) or not all(map(_is_number, values)):
        raise ConfigError(f"{path}: record.confirm.values must be numbers, but got {values!r}")
    return Recorded(
        path=path,
        config=config,
        metric=metric,
        value=value,
        values=tuple(values) or (value,),
        facts=_facts(record),
        sealed=SEAL in record,
        study=str(record.get("study", "")),
        program=str(record.get("program", "")),
    )


def compare_with_record(
    recorded: Recorded,
    value: float,
    facts: Mapping[str, str],
    *,
    tolerance: float | None = None,
    step: float = 0.0,
) -> Verdict:
    """Compare a repetition with the record.

    Args:
        recorded: the file's record.
        value: the metric here.
        facts: versions, device and data here, named as in the record.
        tolerance: largest difference from the recorded value, in the metric's unit; None: the
            prediction interval of the recorded seeds; exact if only one was recorded.
        step: the metric is read in steps of it; 0: it is continuous.
    """
    differences = tuple(
        f"{name} {old} -> {facts[name]}"
        for name, old in recorded.facts.items()
        if name in facts and facts[name] != old
    )
    same = tuple(name for name, old in recorded.facts.items() if facts.get(name) == old)
    here = f"{recorded.metric} {show(recorded.metric, value)}"
    if value == recorded.value:
        text = f"reproduced: {here}, exactly as recorded"
        return Verdict(outcome=EXACT, text=text, differences=differences, same=same)
    if tolerance is not None:
        fits = within(difference(recorded.value, value), tolerance)
        where = f"the tolerance of {show(recorded.metric, tolerance)}"
    elif (interval := recorded.interval(step)) is not None:
        low, high = interval
        fits = low <= value <= high
        where = (
            f"{show(recorded.metric, low)} to {show(recorded.metric, high)}, where one more"
            f" training lies in 95 of 100 cases after the {len(recorded.values)} recorded ones"
        )
    else:
        fits = False
        where = "what is known: one training was recorded, so without --tolerance it must be exact"
    outcome = WITHIN if fits else OUTSIDE
    said = "reproduced" if fits else "NOT reproduced"
    there = f"recorded {show(recorded.metric, recorded.value)}"
    text = f"{said}: {here}, {there}; {outcome} {where}"
    return Verdict(outcome=outcome, text=text, differences=differences, same=same)


def unsealed(recorded: Recorded) -> str:
    """Return the line about a file that has no seal."""
    return (
        f"warning: {recorded.path} has no seal (record.{SEAL}), so its settings may have been"
        f" changed since they were run; {program('studies')} export STUDY writes it again, with one"
    )


def show(metric: str, value: float) -> str:
    """Write a metric: a share in per cent."""
    return f"{100 * value:.2f} %" if metric.endswith(("accuracy", "f1")) else f"{value:.5g}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) and math.isfinite(value)


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    versions = record.get("versions", {})
    named = {**(versions if isinstance(versions, Mapping) else {}), **record}
    names = ["torch", "python", "trainer", "device_name", "data_fingerprint"]
    if "params" in record and isinstance(versions, Mapping):
        names += [name for name in versions if name not in names]  # an objective's own facts
    return {name: str(named[name]) for name in names if isinstance(named.get(name), str)}
