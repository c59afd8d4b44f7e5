"""Pictures of a trial, as PNG files: its curve among those of its choice, its confusion matrix."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.records import TrialRecord
from studies.report.numbers import is_share
from studies.stored import Stored

CONFUSION = "confusion"
"""Attribute of a trial: rows are true classes, columns predicted ones."""

_BLUE, _PALE = "#0072B2", "#B8B8B8"
_PEERS = 60
"""So many other curves are drawn, the latest ones."""
_DPI = 110


def curve(stored: Stored, record: TrialRecord, others: Sequence[TrialRecord]) -> bytes:
    """Draw the curve of ``record`` over those of the ``others`` of its choice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    spec = stored.plan.spec
    scale = 100 if is_share(spec.metric) else 1
    choice = record.params.get(spec.scientific)
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    peers = [
        other
        for other in others
        if other.curve
        and other.number != record.number
        and other.params.get(spec.scientific) == choice
    ]
    for index, other in enumerate(peers[-_PEERS:]):
        label = f"other trials of {choice}" if index == 0 else None
        _line(axes, other, scale, color=_PALE, linewidth=0.9, label=label)
    _line(axes, record, scale, color=_BLUE, linewidth=2.2, marker="o", label=f"{record.number}")
    title = f"trial {record.number}, {choice}, {record.state.lower()}"
    axes.set_title(title, fontsize=11)
    axes.set(xlabel="report", ylabel=f"{spec.metric}{', %' if scale == 100 else ''}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="trial")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    return drawn.getvalue()


def confusion(stored: Stored, record: TrialRecord) -> bytes:
    """Draw the confusion matrix that ``record`` has kept, of the validation images."""
    import torch

    from mnist_core.runs import run_figures

    counts = torch.tensor(record.attributes[CONFUSION])
    pairs = stored.plan.spec.objective == "pairs"
    names = run_figures.PAIR_CLASSES if pairs else tuple(map(str, range(len(counts))))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "confusion.png"
        run_figures.confusion(file, counts, names, title=f"trial {record.number}, validation")
        return file.read_bytes()


def _line(axes: Any, record: TrialRecord, scale: float, **style: Any) -> None:
    axes.plot(list(record.curve), [scale * value for value in record.curve.values()], **style)
