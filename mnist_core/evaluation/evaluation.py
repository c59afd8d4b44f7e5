"""What an evaluation of a model returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mnist_core.evaluation.confusion import PAIR_CLASSES
from mnist_core.evaluation.score_curves import Curve

if TYPE_CHECKING:  # torch takes seconds to import, and trackers need none
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """An image, or a pair of images, that is taken for something else."""

    images: tuple[int, ...]  # the place in the split of the image, or of both images
    truth: int  # the right class; of a pair: 0 different, 1 same
    said: int  # the predicted class, in the same way
    # the probability of the predicted class, 0 to 1; of a pair: its score, the higher, the more
    # alike
    score: float

    def text(self, names: Sequence[str] = ()) -> str:
        """Return the mistake in words: ``7 taken for 1, 99 %``; ``names`` are of the classes."""
        if len(self.images) == 1:
            known = max(self.truth, self.said) < len(names)
            of, said = (names[k] if known else str(k) for k in (self.truth, self.said))
            return f"{of} taken for {said}, {self.score:.0%}".replace("%", " %")
        truth, said = PAIR_CLASSES[self.truth], PAIR_CLASSES[self.said]
        return f"{truth} taken for {said}, score {self.score:.3g}"


class Evaluation(Protocol):
    """How good a model is on a split."""

    @property
    def loss(self) -> float:
        """Mean loss of an image or a pair."""
        ...

    @property
    def confusion(self) -> "Tensor":
        """Int64 ``[C, C]`` on the CPU, rows are true classes; pairs: different, same."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name, among them ``loss`` and ``accuracy``."""
        ...

    @property
    def right(self) -> "Tensor":
        """Bool ``[N]`` on the CPU: which images or pairs are judged right."""
        ...

    def mistakes(self, count: int) -> list[Mistake]:
        """Return at most ``count`` mistakes, the surest first."""
        ...

    def roc_curve(self) -> Curve:
        """Return true over false positive rate; of classes micro-averaged, one against the rest."""
        ...

    def precision_recall_curve(self) -> Curve:
        """Return precision over recall, of the same."""
        ...
