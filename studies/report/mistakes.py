"""What the best configuration gets wrong: its kept models on the validation images.

The test images are not touched.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_core.console.plain_text import are, counted
from mnist_core.errors import CheckpointError, DataError
from mnist_core.files import from_here
from studies.analysis.result import StudyResult
from studies.planning.layout import models_folder

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

    from mnist_core.checkpoints.checkpoint import Checkpoint
    from mnist_core.data import Split

SHOWN = 24
PAIRS = ("different", "same")


@dataclass(frozen=True)
class Mistake:
    """One validation image, or pair of images, that is taken for something else.

    Attributes:
        image: a PNG as a ``data:`` address.
        truth: the right class.
        said: the predicted one.
        detail: how sure, and how many models.
    """

    image: str
    truth: str
    said: str
    detail: str


@dataclass(frozen=True)
class Mistakes:
    """The worst mistakes of the best configuration.

    Attributes:
        shown: the worst first.
        text: how many there are, and of what.
        pairs: whether each picture is two images side by side.
    """

    shown: tuple[Mistake, ...] = ()
    text: str = ""
    pairs: bool = False


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix, summed over the models of the best configuration.

    Attributes:
        classes: their names.
        counts: rows are true classes.
        models: how many were summed.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    models: int

    def share(self, row: int, column: int) -> float:
        """Return the share of the true class that is taken for ``column``, 0 to 1."""
        return self.counts[row][column] / max(1, sum(self.counts[row]))

    def recall(self, row: int) -> float:
        """Return the share of the class that is found, 0 to 1."""
        return self.share(row, row)

    def precision(self, column: int) -> float:
        """Return how many of those that are taken for the class are of it, 0 to 1."""
        return self.counts[column][column] / max(1, sum(row[column] for row in self.counts))


def confusion(result: StudyResult) -> Confusion | None:
    """Return the confusion matrix that the best configuration's trainings recorded."""
    records = result.confirm.get(result.best or "", ())
    found = [r.attributes["confusion"] for r in records if "confusion" in r.attributes]
    found = [matrix for matrix in found if len(matrix) == len(found[0])]
    if not found:
        return None
    n = len(found[0])
    counts = tuple(
        tuple(sum(int(matrix[i][j]) for matrix in found) for j in range(n)) for i in range(n)
    )
    pairs = result.plan.spec.objective == "pairs"
    classes = PAIRS if pairs else tuple(map(str, range(n)))
    return Confusion(classes=classes, counts=counts, models=len(found))


def mistakes(result: StudyResult) -> Mistakes:
    """Judge the best configuration's kept models on the validation images.

    Where models or images are not here any more, ``text`` says so.
    """
    plan = result.plan
    records = result.confirm.get(result.best or "", ())
    files = [models_folder(plan.folder) / f"{record.number}.safetensors" for record in records]
    files = [file for file in files if file.is_file()]
    if not files:
        return Mistakes(text=f"No model of it is kept in {from_here(models_folder(plan.folder))}.")
    from mnist_core.checkpoints import checkpoint
    from mnist_core.data import load

    try:
        kept = [checkpoint.load(file) for file in files]
        data = load(plan.train.data)
    except (CheckpointError, DataError) as error:
        return Mistakes(text=f"Cannot be shown: {error}")
    if not data.is_of(plan.data_fingerprint):
        return Mistakes(text="Cannot be shown: the data here are not those of the study.")
    if plan.spec.objective == "pairs":
        return _pairs(kept[0], data.validation)
    return _classes(kept, data.validation)


def _classes(kept: "Sequence[Checkpoint]", split: "Split") -> Mistakes:
    import torch

    from mnist_core.checkpoints import evaluate_checkpoint

    odds = torch.stack(
        [evaluate_checkpoint.logits(one, split.images).double().softmax(dim=1) for one in kept]
    )
    labels = split.labels.cpu()
    mean = odds.mean(dim=0)
    sure, said = mean.max(dim=1)
    missed = (odds.argmax(dim=2) != labels).sum(dim=0)
    wrong = (said != labels).nonzero().flatten()
    worst = wrong[sure[wrong].argsort(descending=True, stable=True)][:SHOWN]
    images = split.images.cpu()
    shown = [
        Mistake(
            image=_png(images[index].numpy()),
            truth=str(int(labels[index])),
            said=str(int(said[index])),
            detail=f"{float(sure[index]):.0%}"
            + (f", {int(missed[index])} of {len(kept)} models" if len(kept) > 1 else ""),
        )
        for index in worst.tolist()
    ]
    several = f"the mean of its {len(kept)} models" if len(kept) > 1 else "its model"
    text = (
        f"{len(wrong)} of {counted(len(labels), 'validation image')} {are(len(wrong))}"
        f" misclassified by {several}"
    )
    more = f"; the {counted(len(shown), 'surest mistake')}." if len(shown) < len(wrong) else "."
    return Mistakes(shown=tuple(shown), text=text + more)


def _pairs(kept: "Checkpoint", split: "Split") -> Mistakes:
    from mnist_core.checkpoints import evaluate_checkpoint
    from mnist_core.tasks.pair_metrics import PairEvaluation

    found = evaluate_checkpoint.judge(kept, split)
    assert isinstance(found, PairEvaluation)
    wrong = int((found.predictions != found.same).sum())
    images = split.images.cpu()
    shown = []
    for index in found.hardest(min(SHOWN, wrong)).tolist():
        first, second = images[found.pairs[index]].unbind(0)
        same, said = bool(found.same[index]), bool(found.predictions[index])
        shown.append(
            Mistake(
                image=_png(_beside(first, second).numpy()),
                truth=PAIRS[same],
                said=PAIRS[said],
                detail=f"score {float(found.scores[index]):.2f}",
            )
        )
    text = (
        f"{wrong} of {counted(len(found.same), 'validation pair')} {are(wrong)} misjudged by"
        " the model of the first"
        f" seed (from a score of {found.threshold:.2f} on they count as the same)"
    )
    more = f"; the {len(shown)} worst." if len(shown) < wrong else "."
    return Mistakes(shown=tuple(shown), text=text + more, pairs=True)


def _beside(first: "Tensor", second: "Tensor") -> "Tensor":
    import torch

    gap = torch.full((first.shape[0], 2), 128, dtype=torch.uint8)
    return torch.cat([first, gap, second], dim=1)


def _png(image: Any) -> str:
    """Return uint8 ``[rows, columns]``, ink 255, as dark ink on white."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
