"""A trained model on a split: the same figures that its training logged."""

from mnist_core import runtime, tasks
from mnist_core.checkpoint import Checkpoint
from mnist_core.data import Split
from mnist_core.tasks import Evaluation


def judge(kept: Checkpoint, split: Split) -> Evaluation:
    """Evaluate a kept model, in the precision that it was trained in.

    Args:
        kept: from ``checkpoint.load``; its model is moved to the device of ``split``.
        split: images on any device. On the validation images, on the device of the training, the
            figures are those that the training ended with; pairs are judged at the threshold that
            was best there.
    """
    there = {"device": str(split.images.device)}
    machine = runtime.resolve(kept.config.override(there, source="checkpoint"))
    model = machine.place(kept.model)
    with runtime.session(machine, deterministic=kept.config.deterministic):
        return tasks.evaluate(
            model,
            split,
            kept.config,
            n_classes=kept.n_classes,
            runtime=machine,
            threshold=kept.metrics.get("val_threshold"),
        )
