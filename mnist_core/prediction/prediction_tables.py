"""Predictions printed: each of a few images, a summary of many; and all of them as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.table import Table

from mnist_core.checkpoints.evaluation_table import Say
from mnist_core.console.plain_text import counted
from mnist_core.data.idx import UInt8Array
from mnist_core.data.text_pictures import picture
from mnist_core.evaluation.confusion import PAIR_CLASSES
from mnist_core.prediction.predict import Classes, Pairs
from mnist_core.prediction.prediction_inputs import UNKNOWN

LISTED = 30  # largest number that is printed one by one; more are summed up

_NOTABLE = 10
"""Number of a summary's images that are listed: the surest mistakes, or the least sure."""

_DRAWN = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What was predicted, ready to be printed and written."""

    header: list[str]
    rows: list[list[str]]
    tables: list[Table]
    # int ``[K]``, the images that are worth a look, in the order of the tables
    drawn: npt.NDArray[np.int64]
    known: int  # of how many predictions the truth is known
    accuracy: float | None  # fraction of those that are right; None: of none

    def csv(self) -> str:
        """Return all predictions as CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        # A file's name may hold bytes that are not text.
        return text.getvalue().encode(errors="backslashreplace").decode()


def of_classes(
    found: Classes,
    names: Sequence[str],
    indices: Sequence[int | None],
    labels: Sequence[int],
    notes: Sequence[str] = (),
    class_names: Sequence[str] = (),
) -> Predictions:
    """Return what a classifier predicts; ``labels`` are the true classes, or ``UNKNOWN``."""
    n, n_classes = found.logits.shape
    shown = class_names or [str(number) for number in range(n_classes)]
    truth = torch.tensor(labels)
    known = truth != UNKNOWN
    wrong = known & (truth != found.predicted)
    probability = found.probability
    chosen, title = _notable(probability, known, wrong, "least sure")
    tables = [_by_class(found, shown)] if n > LISTED else []
    if len(chosen):
        tables.append(_each(found, chosen, names, indices, truth, notes, title, shown))
    sure, shares, said = (
        values.tolist() for values in (probability, found.probabilities, found.predicted)
    )
    rows = []
    for i, (name, index, label) in enumerate(zip(names, indices, labels, strict=True)):
        numbers = [f"{p:.6g}" for p in (sure[i], *shares[i])]
        rows.append([name, _place(index), shown[said[i]], *numbers, _class_name(label, shown)])
    header = ["input", "index", "predicted", "probability"]
    return Predictions(
        header=[
            *header,
            *(f"p{name}" if not class_names else f"p {name}" for name in shown),
            "label",
        ],
        rows=rows,
        tables=tables,
        drawn=chosen.numpy(),
        known=int(known.sum()),
        accuracy=_accuracy(known, wrong),
    )


def of_pairs(
    found: Pairs, names: Sequence[str], indices: Sequence[int | None], labels: Sequence[int]
) -> Predictions:
    """Return what a model of pairs predicts; the arguments are those of the images."""
    truth = torch.tensor(labels)[found.chosen]
    known = (truth != UNKNOWN).all(dim=1)
    same = truth[:, 0] == truth[:, 1]
    wrong = known & (same != found.same)
    margin = (found.scores - found.threshold).abs()
    chosen, title = _notable(margin, known, wrong, "nearest to the threshold")
    tables = [_by_answer(found)] if len(margin) > LISTED else []
    answers = zip(same.int().tolist(), known.tolist(), strict=True)
    truths = [PAIR_CLASSES[answer] if told else "" for answer, told in answers]
    said = [PAIR_CLASSES[s] for s in found.same.int().tolist()]
    shown = [_shown(name, index) for name, index in zip(names, indices, strict=True)]
    if len(chosen):
        tables.append(_each_pair(found, chosen, shown, said, truths, title))
    scores = found.scores.tolist()
    rows = []
    for i, (a, b) in enumerate(found.chosen.tolist()):
        images = [names[a], _place(indices[a]), names[b], _place(indices[b])]
        numbers = [repr(scores[i]), repr(found.threshold)]
        rows.append([*images, said[i], *numbers, truths[i]])
    images = ["first", "first_index", "second", "second_index"]
    return Predictions(
        header=[*images, "predicted", "score", "threshold", "label"],
        rows=rows,
        tables=tables,
        drawn=found.chosen[chosen].flatten().numpy(),
        known=int(known.sum()),
        accuracy=_accuracy(known, wrong),
    )


def show(say: Say, predictions: Predictions, pixels: UInt8Array | None) -> None:
    """Print predictions, and draw some of ``pixels``, uint8 ``[N, 28, 28]``, if they are given."""
    for table in predictions.tables:
        say(table)
    if pixels is not None and len(predictions.drawn):
        drawn = predictions.drawn[:_DRAWN]
        few = f" (the first {len(drawn)})" if len(drawn) < len(predictions.drawn) else ""
        say(f"as the model sees them, in the order of the table{few}:")
        say(picture(pixels[drawn], max_rows=_DRAWN))


def _notable(
    sureness: torch.Tensor, known: torch.Tensor, wrong: torch.Tensor, least: str
) -> tuple[torch.Tensor, str | None]:
    """Return which of ``N`` predictions are listed, int64 ``[K]``, and the title of the list."""
    if len(sureness) <= LISTED:
        return torch.arange(len(sureness)), None
    if not known.any():
        chosen = sureness.argsort(stable=True)[:_NOTABLE]
        return chosen, f"the {len(chosen)} {least}:"
    mistakes = wrong.nonzero().flatten()
    chosen = mistakes[sureness[mistakes].argsort(descending=True, stable=True)][:_NOTABLE]
    more = f", the {len(chosen)} surest:" if len(mistakes) > len(chosen) else ":"
    return chosen, counted(len(mistakes), "mistake") + more


def _by_class(found: Classes, shown: Sequence[str]) -> Table:
    table = _table("class", "predicted", "mean probability", "below 90 %")
    probability = found.probability
    for number in range(found.logits.shape[1]):
        sure = probability[found.predicted == number]
        mean = f"{float(sure.mean()):.1%}" if len(sure) else "-"
        table.add_row(shown[number], f"{len(sure):,}", mean, f"{int((sure < 0.9).sum()):,}")
    return table


def _by_answer(found: Pairs) -> Table:
    table = _table("answer", "pairs", "mean score", title=_rule(found))
    for number, name in enumerate(PAIR_CLASSES):
        scores = found.scores[found.same == bool(number)]
        mean = f"{float(scores.mean()):.4g}" if len(scores) else "-"
        table.add_row(name, f"{len(scores):,}", mean)
    return table


def _each(
    found: Classes,
    chosen: torch.Tensor,
    names: Sequence[str],
    indices: Sequence[int | None],
    truth: torch.Tensor,
    notes: Sequence[str],
    title: str | None,
    shown: Sequence[str],
) -> Table:
    told = bool((truth[chosen] != UNKNOWN).any())
    noted = any(notes)
    columns = ["image", "class", "probability", "next", *["true"] * told, *["picture"] * noted]
    table = _table(*columns, title=title)
    ranking = found.ranking()
    for i in chosen.tolist():
        others = [number for number in ranking[i].tolist() if number != int(found.predicted[i])]
        runners_up = ", ".join(
            f"{shown[k]} {float(found.probabilities[i, k]):.2%}" for k in others[:2]
        )
        cells = [_shown(names[i], indices[i]), shown[int(found.predicted[i])]]
        cells += [f"{float(found.probability[i]):.2%}", runners_up]
        cells += [_class_name(int(truth[i]), shown)] * told + [notes[i] if noted else ""] * noted
        table.add_row(*cells)
    return table


def _each_pair(
    found: Pairs,
    chosen: torch.Tensor,
    shown: Sequence[str],
    said: Sequence[str],
    truths: Sequence[str],
    title: str | None,
) -> Table:
    told = any(truths[i] for i in chosen.tolist())
    columns = ["first", "second", "answer", "score", *["true"] * told]
    table = _table(*columns, title=title or _rule(found))
    for i in chosen.tolist():
        a, b = found.chosen[i].tolist()
        cells = [shown[a], shown[b], said[i], f"{float(found.scores[i]):.4g}"]
        table.add_row(*cells, *[truths[i]] * told)
    return table


def _rule(found: Pairs) -> str:
    return f"the same from a score of {found.threshold:.4g} on:"


def _table(first: str, *others: str, title: str | None = None) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style=""
    )
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in _WORDS else "right", overflow="fold")
    return table


_WORDS = ("second", "answer", "next", "picture")


def _shown(name: str, index: int | None) -> str:
    """Name an image in a table: what would break the line is shown as ``?``."""
    text = "".join(char if char.isprintable() else "?" for char in name)
    return text if index is None else f"{text} [{index}]"


def _place(index: int | None) -> str:
    return "" if index is None else str(index)


def _class_name(label: int, shown: Sequence[str]) -> str:
    return "" if label == UNKNOWN else shown[label]


def _accuracy(known: torch.Tensor, wrong: torch.Tensor) -> float | None:
    n = int(known.sum())
    return (n - int(wrong.sum())) / n if n else None
