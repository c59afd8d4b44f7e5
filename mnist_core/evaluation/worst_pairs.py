"""The pairs of classes that are confused most: what a trial keeps where classes are many.

The confusion matrix of 1,000 classes has a million cells; a study would keep that for each trial.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

NAME: Final = "worst_pairs"
"""The attribute of a trial that keeps them, in place of its ``confusion``."""

MOST_CLASSES: Final = 50
"""A trial keeps the whole confusion matrix of up to this many classes."""

KEPT: Final = 100  # pairs


@dataclass(frozen=True)
class WorstPairs:
    """The most frequent mistakes of one model, or the sum over several."""

    judged: int  # the number of predictions
    right: int
    # true class, class it is taken for, number of mistakes, images of the true class; most first
    pairs: tuple[tuple[int, int, int, int], ...]
    models: int = 1  # the number of models

    @classmethod
    def of(cls, matrix: Sequence[Sequence[int]]) -> Self:
        """Find them in a confusion matrix, counts ``[true][predicted]``."""
        sizes = [sum(row) for row in matrix]
        wrong = [
            (true, predicted, count, sizes[true])
            for true, row in enumerate(matrix)
            for predicted, count in enumerate(row)
            if count and true != predicted
        ]
        right = sum(row[true] for true, row in enumerate(matrix))
        return cls(sum(sizes), right, _most(wrong))

    @classmethod
    def summed(cls, found: Iterable[Self]) -> Self:
        """Return the sum over models; a pair that one of them left out counts there as 0."""
        several = list(found)
        counts: Counter[tuple[int, int]] = Counter()
        sizes: Counter[int] = Counter()
        for one in several:
            for true, predicted, count, _ in one.pairs:
                counts[true, predicted] += count
            # A class has the same images for each model.
            for true, size in {(true, size) for true, _, _, size in one.pairs}:
                sizes[true] = max(sizes[true], size)
        pairs = [
            (true, predicted, count, sizes[true] * len(several))
            for (true, predicted), count in counts.items()
        ]
        judged, right = (sum(getattr(one, name) for one in several) for name in ("judged", "right"))
        return cls(judged, right, _most(pairs), len(several))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, see ``from_json``."""
        return {"judged": self.judged, "right": self.right, "pairs": list(map(list, self.pairs))}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned."""
        pairs = [(true, said, count, size) for true, said, count, size in kept["pairs"]]
        return cls(int(kept["judged"]), int(kept["right"]), tuple(pairs))


def to_keep(matrix: list[list[int]]) -> dict[str, Any]:
    """Return the attribute of a trial with this confusion matrix: whole, or its worst pairs."""
    if len(matrix) <= MOST_CLASSES:
        return {"confusion": matrix}
    return {NAME: WorstPairs.of(matrix).to_json()}


def _most(pairs: Iterable[tuple[int, int, int, int]]) -> tuple[tuple[int, int, int, int], ...]:
    return tuple(sorted(pairs, key=lambda pair: (-pair[2], pair))[:KEPT])
