"""Mistakes: what the best configuration's kept models get wrong on the validation images."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnist_core.console.plain_text import are, counted
from mnist_core.errors import CheckpointError, DataError
from mnist_core.evaluation.confusion import PAIR_CLASSES
from mnist_core.evaluation.pictures import UInt8Array, on_white, side_by_side
from mnist_core.evaluation.worst_pairs import WorstPairs
from mnist_core.files import from_here
from studies.analysis.figure_data import confusion, worst_pairs
from studies.analysis.result import StudyResult
from studies.planning.layout import models_folder
from studies.report.blocks import Block, ConfusionTable, Material, Mistake, Mistakes, Section, Table

if TYPE_CHECKING:  # torch takes seconds to import
    from mnist_core.checkpoints.checkpoint import Checkpoint
    from mnist_core.data import Split

SHOWN = 24
"""Mistakes that are shown at most."""


def section(page: Material) -> Section | None:
    """Return the section; None: the study's objective is the user's own, which has no images."""
    if page.result.plan.spec.own is not None:
        return None
    matrix, pairs = confusion(page.result), worst_pairs(page.result)
    shown = Mistakes()
    if other := page.found.foreign_models:
        shown = Mistakes(
            text=f"Cannot be shown: the models here belong to another study ({other})."
        )
    elif page.quick:  # torch and the data take seconds to load
        command = page.result.plan.commands.look("report")
        shown = Mistakes(text=f"Their images are added by {command}")
    elif page.result.confirmed:
        shown = mistakes(page.result)
    counts: tuple[Block, ...] = (ConfusionTable(matrix),) if matrix else ()
    if pairs is not None:
        counts += (confused(*pairs),)
    return Section("mistakes", "What the best configuration gets wrong", (*counts, shown))


def confused(found: WorstPairs, names: Sequence[str]) -> Table:
    """Return the table of the pairs of classes that are confused most."""

    def named(label: int) -> str:
        return names[label] if label < len(names) else str(label)

    over = f", summed over {found.models} models" if found.models > 1 else ""
    rows = [
        (f"{named(true)} taken for {named(said)}", f"{count:,}", f"{count / size:.1%}")
        for true, said, count, size in found.pairs[:SHOWN]
    ]
    return Table(
        caption=f"The most frequent mistakes on the validation images{over}: of {found.judged:,}"
        f" predictions {found.judged - found.right:,} are wrong",
        head=("classes", "mistakes", "of the class"),
        rows=tuple(rows),
    )


def mistakes(result: StudyResult) -> Mistakes:
    """Judge the best configuration's kept models on the validation images."""
    plan = result.plan
    records = result.confirm.get(result.best or "", ())
    files = [models_folder(plan.folder) / f"{record.number}.safetensors" for record in records]
    files = [file for file in files if file.is_file()]  # people delete models to save space
    if not files:
        return Mistakes(text=f"No model of it is kept in {from_here(models_folder(plan.folder))}.")
    images = plan.adapter.images
    assert images is not None  # other objectives keep no such models
    # torch takes seconds to import, and a study without kept models needs none.
    from mnist_core.checkpoints import checkpoint
    from mnist_core.data import load

    try:
        kept = [checkpoint.load(file) for file in files]
        data = load(images)
    except (CheckpointError, DataError) as error:
        return Mistakes(text=f"Cannot be shown: {error}")
    if not data.is_of(plan.data_fingerprint):
        return Mistakes(text="Cannot be shown: the data here are not those of the study.")
    if plan.spec.label == "pairs":
        return _pairs(kept[0], data.validation)
    return _classes(kept, data.validation)


def _classes(kept: "Sequence[Checkpoint]", split: "Split") -> Mistakes:
    import torch

    from mnist_core.checkpoints import evaluate_checkpoint
    from mnist_core.tasks.class_metrics import surest_mistakes

    # In double: the mean over models decides which mistakes are the surest.
    odds = torch.stack(
        [evaluate_checkpoint.logits(one, split.images).double().softmax(dim=1) for one in kept]
    )
    labels = split.labels.cpu()
    sure, said, wrong = surest_mistakes(odds.mean(dim=0), labels)
    missed = (odds.argmax(dim=2) != labels).sum(dim=0)
    images = split.images.cpu()
    names = kept[0].about.named(kept[0].n_classes)
    shown = [
        Mistake(
            image=_png(on_white(images[index : index + 1].numpy())[0]),
            truth=names[int(labels[index])],
            said=names[int(said[index])],
            detail=f"{float(sure[index]):.0%}"
            + (f", {int(missed[index])} of {len(kept)} models" if len(kept) > 1 else ""),
        )
        for index in wrong[:SHOWN].tolist()
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
        same, said = bool(found.same[index]), bool(found.predictions[index])
        shown.append(
            Mistake(
                image=_png(side_by_side(on_white(images[found.pairs[index]].numpy()))),
                truth=PAIR_CLASSES[same],
                said=PAIR_CLASSES[said],
                detail=f"score {float(found.scores[index]):.2f}",
            )
        )
    text = (
        f"{wrong} of {counted(len(found.same), 'validation pair')} {are(wrong)} misjudged by"
        " the model of the first"
        f" seed (a pair counts as the same from a score of {found.threshold:.2f})"
    )
    more = f"; the {len(shown)} worst." if len(shown) < wrong else "."
    return Mistakes(shown=tuple(shown), text=text + more, pairs=True)


def _png(image: UInt8Array) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
