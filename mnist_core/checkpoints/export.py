"""Export of a trained model, with proof that the file computes what the model does.

The file takes float32 images from 0 (ground) to 1 (ink), any number at a time, normalises them
inside, and computes in fp32.
"""

import copy
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_core import losses, models, tasks
from mnist_core.batches.batches import normalise
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.checkpoints.export_formats import FORMATS
from mnist_core.config import TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.data import Data, Split
from mnist_core.device import runtime
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError, DataError, UserError, unknown_name
from mnist_core.images import MNIST, Images
from mnist_core.version import TRAINER_VERSION, package_version

TOLERANCE = 1e-4
"""Greatest difference of two logits that counts as rounding, relative to the greatest logit, or
absolute where that is below 1. Rounding of fp32 is some hundred times smaller."""

_CHUNK = 500


class ParityError(UserError):
    """An exported file computes something else than the trained model."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How an exported file compares with the trained model on the same test images."""

    samples: int
    greatest: float  # greatest difference of two logits (or scores); NaN if one is not a number
    allowed: float
    different: int  # predictions that differ; with logits that agree, these are ties
    trained_accuracy: float  # of the trained model in fp32, 0 to 1
    exported_accuracy: float  # of the file, 0 to 1

    @property
    def holds(self) -> bool:
        """Whether the file computes the same, but for rounding."""
        return self.greatest <= self.allowed  # NaN is not


@dataclass(frozen=True, eq=False)
class _Expected:
    images: Tensor  # uint8 ``[N, C, H, W]``, or pairs ``[N, 2, (3,) H, W]``
    truth: Tensor  # int64 ``[N]``
    logits: Tensor  # float32 ``[N, classes]``, or ``[N]`` for pairs
    threshold: float | None  # for pairs, from which score on two images are the same

    def predictions(self, logits: Tensor) -> Tensor:
        """Return int64 ``[N]``."""
        if self.threshold is None:
            return logits.argmax(dim=1)
        return (logits.double() >= self.threshold).long()


class Exportable(nn.Module):
    """A trained model that normalises its input itself and ends with the scores it is judged by."""

    def __init__(self, model: nn.Module, config: TrainConfig, about: Images = MNIST) -> None:
        super().__init__()
        self.about = about
        self.model = copy.deepcopy(model).float().cpu().eval()
        self.embeds = losses.embeds(config.loss)
        self.cosine = self.embeds and losses.of(config.loss, losses.PAIRS).cosine

    def forward(self, images: Tensor) -> Tensor:
        """Turn images in 0 to 1, ``[N, C, H, W]`` or pairs ``[N, 2, (3,) H, W]``, into logits."""
        normalised = self._normalised(images)
        if not self.embeds:
            logits: Tensor = self.model(normalised)
            return logits
        # These losses do not train the head: the score is how near the embeddings are.
        embeddings = self.model.embed(models.single_images(normalised))  # type: ignore[operator]
        first, second = embeddings[0::2], embeddings[1::2]
        if self.cosine:
            return functional.cosine_similarity(first, second)
        return -losses.distances(first, second)

    def _normalised(self, images: Tensor) -> Tensor:
        if not self.about.colour:
            return (images - self.about.mean[0]) / self.about.std[0]
        mean, std = (torch.tensor(of).view(3, 1, 1) for of in (self.about.mean, self.about.std))
        return (images - mean) / std


def export(kept: Checkpoint, out: Path, *, file_format: str, data: Data, test: Split) -> Parity:
    """Write ``kept`` to ``out`` and prove it; a file is replaced only by a proved one.

    ``test`` are the images to compare on: test images, or validation images if there are none.

    Raises:
        ConfigError: as ``check``.
        DataError: if the model is of other classes than the data.
        ParityError: if the file computed something else; it was deleted.
        UserError: if the file cannot be written.
    """
    check(file_format, out)
    if kept.n_classes != data.n_classes:
        raise DataError(
            f"the model knows {counted(kept.n_classes, 'class', 'classes')}, but {data.name}"
            f" has {data.n_classes};"
            " choose its data with --set data.name=NAME"
        )
    config = kept.config.override({"device": "cpu", "precision": "fp32"}, source="export")
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=False), torch.no_grad():
        expected = _expected(kept, config, test, machine)
        network = Exportable(kept.model, kept.config, kept.about).eval()
        form = FORMATS[file_format]
        example = expected.images[:2].float() / 255
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=out.parent, prefix=".exporting-") as folder:
                draft = Path(folder) / out.name
                form.write(network, example, draft, _about(kept, data, expected.threshold))
                parity = _compare(expected, form.load(draft, machine.threads))
                if not parity.holds:
                    raise ParityError(f"{out}: {_say(parity)}; the file was deleted")
                os.replace(draft, out)
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    return parity


def check(file_format: str, out: Path) -> None:
    """Raise ``ConfigError`` if format or name are wrong, or a package is missing."""
    if file_format not in FORMATS:
        raise ConfigError(f"--format: {unknown_name('format', file_format, FORMATS)}")
    form = FORMATS[file_format]
    if out.suffix != form.suffix:
        raise ConfigError(
            f"--out: {file_format} files are named *{form.suffix}, but got {out.name!r}"
        )
    for package in form.packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            raise ConfigError(
                f"--format {file_format} needs the package {package}, which is not installed;"
                " pip install 'mnist-studies[export]', or take --format torch"
            ) from None


def _expected(kept: Checkpoint, config: TrainConfig, test: Split, machine: Runtime) -> _Expected:
    """Run the trained model over the test images just as training and evaluation do."""
    model = copy.deepcopy(kept.model).float().cpu().eval()
    if models.task(config.model) == "pairs":
        judged = tasks.evaluate(
            model,
            dataclasses.replace(test, about=kept.about),
            config,
            runtime=machine,
            threshold=kept.metrics.get("val_threshold"),
        )
        pairs, scores, threshold = judged.pairs, judged.scores, judged.threshold  # type: ignore[attr-defined]
        return _Expected(_planes(test)[pairs], judged.same.long(), scores.float(), threshold)  # type: ignore[attr-defined]
    parts = torch.split(test.images, _CHUNK)
    logits = torch.cat(
        [model(normalise(part, torch.float32, kept.about)).float() for part in parts]
    )
    images = _planes(test) if kept.about.colour else test.images.unsqueeze(1)
    return _Expected(images, test.labels, logits, None)


def _planes(split: Split) -> Tensor:
    """Return grey images ``[N, H, W]`` as they are, and those in colour as ``[N, 3, H, W]``."""
    images = split.images
    return images.permute(0, 3, 1, 2).contiguous() if images.ndim == 4 else images


def _compare(expected: _Expected, run: Callable[[Tensor], Tensor]) -> Parity:
    """Run the file over the same images: one alone first, so that batches differ in size."""
    parts = [expected.images[:1], *torch.split(expected.images[1:], _CHUNK)]
    logits = torch.cat([run(part.float() / 255) for part in parts if len(part)])
    if logits.shape != expected.logits.shape:
        raise ParityError(
            f"the exported model gives logits of shape {list(logits.shape)}, the trained one"
            f" {list(expected.logits.shape)}; the file was deleted"
        )
    trained, exported = expected.predictions(expected.logits), expected.predictions(logits)
    scale = expected.logits.abs().max().item()
    return Parity(
        samples=len(expected.images),
        greatest=(logits - expected.logits).abs().max().item(),
        allowed=TOLERANCE * max(1.0, scale),
        different=int((trained != exported).sum()),
        trained_accuracy=(trained == expected.truth).double().mean().item(),
        exported_accuracy=(exported == expected.truth).double().mean().item(),
    )


def _say(parity: Parity) -> str:
    return (
        f"the exported model does not compute what the trained one does: logits differ by up to"
        f" {parity.greatest:.3g} (allowed {parity.allowed:.1g}), {parity.different:,} of"
        f" {counted(parity.samples, 'prediction')} differ, accuracy"
        f" {parity.exported_accuracy:.2%} instead"
        f" of {parity.trained_accuracy:.2%}"
    )


def _about(kept: Checkpoint, data: Data, threshold: float | None) -> dict[str, str]:
    """Return what is written into the file, by name; values that are not plain text are JSON."""
    pairs = threshold is not None
    about = kept.about
    shape = ", ".join(map(str, models.input_shape(kept.config.model, about)))
    shape += "]"
    if pairs:
        shape += ", the two images of a pair " + ("first" if about.colour else "as channels")
    scale = "0 to 1, RGB" if about.colour else "0 (ground) to 1 (ink)"
    config = kept.config.to_dict()
    config["data"].pop("root", None)  # a folder of this machine
    config["data"]["name"] = kept.config.data.title
    if losses.embeds(kept.config.loss):
        output = "logits: float32 [batch], the higher the more alike"
    elif pairs:
        output = "logits: float32 [batch], log-odds of the same class"
    else:
        output = "logits: float32 [batch, classes], softmax gives probabilities"
    classes = ["different", "same"] if pairs else [*about.named(kept.n_classes)]
    mean, std = (of if about.colour else of[0] for of in (about.mean, about.std))
    said = {
        "title": f"{kept.config.model.name} trained on {config['data']['name']}",
        "input": f"images: float32 [batch, {shape}, {scale}, normalised inside",
        "output": output,
        "classes": json.dumps(classes),
        "normalisation": json.dumps({"mean": mean, "std": std, "inside": True}),
        "config": json.dumps(config),
        "metrics": json.dumps(dict(kept.metrics)),
        "data": json.dumps({"name": data.name, "fingerprint": data.fingerprint}),
        "versions": json.dumps(
            {
                "mnist-studies": package_version(),
                "trainer": TRAINER_VERSION,
                "torch": torch.__version__,
            }
        ),
    }
    if threshold is not None:
        said["threshold"] = json.dumps(threshold)
    return said
