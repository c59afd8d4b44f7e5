"""A trained model on images: the same figures that its training logged."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mnist_core import tasks
from mnist_core.batches.batches import normalise
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data import Split, load_confirm
from mnist_core.device import runtime
from mnist_core.device.runtime import Runtime
from mnist_core.errors import CheckpointError
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.tasks import class_metrics, pairs
from mnist_core.trainer.results import TrainResult


def judge(kept: Checkpoint, split: Split) -> Evaluation:
    """Evaluate a kept model on ``split``, whose device it is moved to, in the trained precision.

    On the validation images, on the device of the training, the figures are those that the training
    ended with; pairs are judged at the threshold that was best there.
    """
    with _session(kept, split.images.device) as (model, machine):
        return tasks.evaluate(
            model,
            dataclasses.replace(split, about=kept.about),  # normalised as in the training
            kept.config,
            runtime=machine,
            threshold=kept.metrics.get("val_threshold"),
        )


def judge_on_confirm_images(result: TrainResult, n_classes: int) -> Evaluation | None:
    """Evaluate a trained model on the confirm images of its data set; None: there are none.

    Raises:
        DataError: if they are missing or damaged.
    """
    split = load_confirm(result.config.data, result.config.device)
    if split is None:
        return None
    metrics, config = result.metrics, result.config
    kept = Checkpoint(
        model=result.model,
        config=config,
        n_classes=n_classes,
        metrics=metrics,
        about=result.about,
    )
    return judge(kept, split)


def logits(kept: Checkpoint, images: Tensor) -> Tensor:
    """Classify uint8 images ``[N, …]`` exactly as ``judge`` does: ``[N, C]`` on the CPU."""
    found = []
    with _session(kept, images.device) as (model, machine), torch.no_grad(), machine.autocast():
        # The same batches: a bf16 sum may depend on how many images are computed together.
        for part in torch.split(images, class_metrics.CHUNK):
            found.append(machine.widen(model(normalise(part, machine.dtype, kept.about))).cpu())
    return torch.cat(found) if found else torch.zeros(0, kept.n_classes)


def pair_scores(kept: Checkpoint, images: Tensor, chosen: Tensor) -> Tensor:
    """Compare pairs of uint8 images ``[N, …]``, int64 ``[P, 2]``, exactly as ``judge`` does.

    Returns float64 ``[P]`` on the CPU; the same class from ``kept.metrics["val_threshold"]`` on.
    """
    with _session(kept, images.device) as (model, machine):
        labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        split = Split(images, labels, kept.about)
        return pairs.score(model, split, chosen, kept.config, machine)


def config_at(kept: Checkpoint, device: str) -> TrainConfig:
    """Return the model's configuration on another device, ``auto`` or one by name."""
    config = kept.config
    if device != config.device:  # to check all settings again takes longer than one prediction
        config = config.override({"device": device}, source="--device")
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if config.precision == "tf32" and not on_gpu:
        return config.override({"precision": "fp32"})  # of which tf32 is a GPU's faster kind
    return config


def check_finite(kept: Checkpoint, numbers: Tensor | float) -> None:
    """Raise ``CheckpointError`` if a number overflowed: of nan, class 0 is "the most probable"."""
    if not torch.as_tensor(numbers).isfinite().all():
        raise CheckpointError(
            f"model {kept.config.model.name!r}, computing in {kept.config.precision}, gives nan or"
            " infinite numbers for these images, so it says nothing of them; train it again, with"
            " precision=fp32 or a smaller learning rate"
        )


@contextmanager
def _session(kept: Checkpoint, device: torch.device) -> Iterator[tuple[nn.Module, Runtime]]:
    config = config_at(kept, str(device))
    machine = runtime.resolve(config)
    model = machine.place(kept.model).eval()
    with runtime.session(machine, deterministic=config.deterministic):
        yield model, machine
