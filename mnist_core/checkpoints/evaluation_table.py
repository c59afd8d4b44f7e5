"""What a model does on a split, printed: figures, and the confusion matrix class by class."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mnist_core.evaluation.confusion import Confusion

if TYPE_CHECKING:  # torch takes seconds to import, and --help needs none
    from mnist_core.evaluation.evaluation import Evaluation

Say = Callable[[str | Table], object]


def print_evaluation(say: Say, found: "Evaluation", names: Sequence[str] = ()) -> None:
    """Print figures, the confusion matrix, and the recall and precision of each class.

    ``names`` are those of the classes; left out: their numbers.
    """
    from mnist_core.tasks.pair_metrics import PairEvaluation

    say(", ".join(f"{name} {value:.4f}" for name, value in found.metrics.items()))
    pairs = isinstance(found, PairEvaluation)
    matrix = Confusion.of(found.confusion.tolist(), pairs=pairs, names=names)
    if isinstance(found, PairEvaluation):
        low, high = found.interval()
        say(f"accuracy between {low:.4f} and {high:.4f} (95 %, bootstrap over images)")
    classes = matrix.classes
    many = len(classes) > MOST_CLASSES
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class" if many else "true \\ predicted", no_wrap=True)
    columns = ["right", "wrong"] if many else classes
    for name in [*columns, "recall", "precision"]:
        table.add_column(name, justify="right", no_wrap=True)
    for index, name in enumerate(classes):
        row = matrix.counts[index]
        cells = [row[index], sum(row) - row[index]] if many else row
        shares = (
            f"{matrix.recall(index):.3f}" if sum(row) else "-",
            f"{matrix.precision(index):.3f}" if matrix.predicted(index) else "-",
        )
        table.add_row(name, *map(str, cells), *shares)
    say(_uncut(table))
    if many:
        say(_uncut(_confusions(found, classes)))


def confusion_csv(found: "Evaluation", names: Sequence[str] = ()) -> str:
    """Return the whole confusion matrix as CSV: a row a true class, a column a predicted one."""
    rows = found.confusion.tolist()
    classes = names if len(names) == len(rows) else range(len(rows))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, rows, strict=True))
    return text.getvalue()


MOST_CLASSES = 20
"""Of more classes the matrix is wider than people read: the most frequent confusions are listed."""

_LISTED = 30


def _confusions(found: "Evaluation", names: Sequence[str]) -> Table:
    counts = found.confusion.clone()
    counts.fill_diagonal_(0)
    pairs = sorted(counts.nonzero().tolist(), key=lambda pair: -int(counts[pair[0], pair[1]]))
    title = f"{len(pairs):,} kinds of confusion" + (
        f", the {_LISTED} most frequent:" if len(pairs) > _LISTED else ":"
    )
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style=""
    )
    for name in ("true", "predicted", "images"):
        table.add_column(name, justify="right", no_wrap=True)
    for true, said in pairs[:_LISTED]:
        table.add_row(names[true], names[said], str(int(counts[true, said])))
    return table


def _uncut(table: Table) -> Table:
    """Give ``table`` the width that it needs: a narrow terminal breaks its lines, and cuts none."""
    wide = Console(width=10_000)
    table.width = Measurement.get(wide, wide.options, table).maximum
    return table
