"""A confusion matrix with the names of its classes; nothing here needs torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

PAIR_CLASSES = ("different", "same")


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of one model, or the sum over several."""

    classes: tuple[str, ...]  # their names
    counts: tuple[tuple[int, ...], ...]  # rows are true classes, columns predicted ones
    models: int = 1  # the number of models

    @classmethod
    def of(
        cls, *matrices: Iterable[Iterable[int]], pairs: bool = False, names: Iterable[str] = ()
    ) -> Self:
        """Return the sum of ``matrices`` of the same size, counts ``[true][predicted]``.

        ``names`` are those of the classes; left out, or another number of them: their numbers.
        """
        found = [[[int(count) for count in row] for row in matrix] for matrix in matrices]
        counts = tuple(
            tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*found, strict=True)
        )
        classes = PAIR_CLASSES if pairs else tuple(names)
        if len(classes) != len(counts):
            classes = tuple(map(str, range(len(counts))))
        return cls(classes=classes, counts=counts, models=len(found))

    @property
    def total(self) -> int:
        """The number of predictions."""
        return sum(map(sum, self.counts))

    @property
    def right(self) -> float:
        """The share of right predictions, 0 to 1."""
        return sum(row[i] for i, row in enumerate(self.counts)) / max(1, self.total)

    def share(self, true: int, predicted: int) -> float:
        """Return the share of class ``true`` that is taken for ``predicted``, 0 to 1."""
        return self.counts[true][predicted] / max(1, sum(self.counts[true]))

    def recall(self, true: int) -> float:
        """Return the share of the class that is found, 0 to 1."""
        return self.share(true, true)

    def predicted(self, column: int) -> int:
        """Return how often the class is predicted."""
        return sum(row[column] for row in self.counts)

    def precision(self, column: int) -> float:
        """Return the share of the predictions of the class that are right, 0 to 1."""
        return self.counts[column][column] / max(1, self.predicted(column))
