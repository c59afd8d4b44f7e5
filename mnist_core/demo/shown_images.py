"""Images of a data set with what a model says of them, its mistakes first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnist_core.commands import evaluate_command
from mnist_core.demo.choices import Choice
from mnist_core.demo.drawings import Judge
from mnist_core.prediction import predict

if TYPE_CHECKING:
    from mnist_core.data import Data, Split
    from mnist_core.evaluation.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class Shown:
    """The images of a split in the order in which they are shown."""

    images: npt.NDArray[np.uint8]  # ``[N, 28, 28]``
    truth: list[int]
    said: list[int]
    probability: list[float]  # of the class in ``said``
    wrong: int  # number of mistakes; they come first, the surest first
    notes: tuple[str, ...]  # lines about the reading


def judge(choice: Choice, judge: Judge, split: str, device: str) -> Shown:
    """Judge a model on its validation or test images; a reading of test images is recorded.

    Raises:
        UserError: if the images are missing or do not fit, or the reading cannot be recorded.
    """
    found: predict.Classes | None = None
    pixels: npt.NDArray[np.uint8] | None = None
    labels: list[int] = []
    notes: list[str] = []

    def evaluate(_: "Data", images: "Split") -> "Evaluation":
        nonlocal found, pixels, labels
        found = predict.classify(judge.kept, images.images)
        pixels, labels = images.images.cpu().numpy(), images.labels.tolist()
        return predict.evaluation(found, images.labels.cpu())

    def say(line: object) -> None:
        notes.append(str(line))

    with judge.alone():
        _, lines = evaluate_command.judge_data_set(
            "demo", say, choice.found, judge.kept, {}, split, device, evaluate
        )
    assert found is not None and pixels is not None
    said, sure = found.predicted.numpy(), found.probability.numpy()
    right = said == np.array(labels)
    # Mistakes, the surest first; then what is right, the least sure first.
    order = np.lexsort((np.where(right, sure, -sure), right))
    return Shown(
        images=pixels[order],
        truth=[labels[k] for k in order],
        said=said[order].tolist(),
        probability=sure[order].tolist(),
        wrong=int((~right).sum()),
        # The first two name the file and the number of images, which the page shows anyway.
        notes=tuple([*notes[2:], *lines]),
    )
