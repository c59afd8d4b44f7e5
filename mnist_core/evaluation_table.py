"""What a model does on a split, printed: figures, and the confusion matrix class by class."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from mnist_core.safe_console import SafeConsole

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.tasks import Evaluation

Say = Callable[[str | Table], object]


def text_console() -> Console:
    """Return a console that prints text as it is; a pipe has no width of its own."""
    console = SafeConsole(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 160
    return console


def print_evaluation(say: Say, found: "Evaluation") -> None:
    """Print figures, confusion matrix, and each class's recall and precision (- if there is none).

    Args:
        say: prints a line or a table.
        found: what is printed.
    """
    from mnist_core.pair_metrics import PairEvaluation

    say(", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))
    classes = [str(number) for number in range(len(found.confusion))]
    if isinstance(found, PairEvaluation):
        classes = ["different", "same"]
        low, high = found.interval()
        say(f"accuracy between {low:.4f} and {high:.4f} (95 %, bootstrap over images)")
    counts = found.confusion.double()
    right = counts.diagonal()
    recall = right / counts.sum(dim=1)
    precision = right / counts.sum(dim=0)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("true \\ predicted", no_wrap=True)
    for name in [*classes, "recall", "precision"]:
        table.add_column(name, justify="right", no_wrap=True)
    for index, name in enumerate(classes):
        cells = [str(int(count)) for count in counts[index]]
        table.add_row(name, *cells, _share(float(recall[index])), _share(float(precision[index])))
    say(table)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
