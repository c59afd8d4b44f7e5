"""What a tracker of single trainings is given, and what it does with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A training as trackers know it.

    Attributes:
        identity: 8 hexadecimal digits; the same after a resume, another one for each other run.
        name: of its folder.
        environment: cpu or cuda.
        root: the folder of all runs; trackers keep their files beside the runs' own folders.
        settings: all settings, by dotted name.
        began: seconds after 1970.
        class_names: of the data; empty: classes have numbers.
    """

    identity: str
    name: str
    environment: str
    root: Path
    settings: Mapping[str, Any]
    began: float
    class_names: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a training ended.

    Attributes:
        metrics: of the model, also on the test images if they were read.
        facts: device, seconds, number of parameters …
        confusion: counts ``[true][predicted]`` on the validation images; empty: not known.
        reason: why it did not finish.
    """

    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    confusion: Sequence[Sequence[int]] = ()
    reason: str = ""
    time: float = 0.0


class RunTracker:
    """Keeps one training where people look at it; it is called in one thread.

    What a run of the same identity has left is replaced: a resumed training's reports come again.
    """

    def report(self, row: Mapping[str, float], time: float) -> None:
        """Keep a report: ``step`` from 1, ``epoch``, ``seconds`` since the start, and metrics."""

    def end(self, how: RunEnd) -> str:
        """Keep how it ended; return a line that says where everything is."""
        return ""


NOT_METRICS = ("step", "epoch", "seconds")
