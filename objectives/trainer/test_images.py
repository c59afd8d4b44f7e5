"""The reading of the test set in a worker: models in, test metrics out."""

from collections.abc import Mapping
from pathlib import Path

from mnist_core.config import TrainConfig


def read_test(train: TrainConfig, models: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """Return the metrics of each model on the test images, by confirm trial.

    E.g. ``test_accuracy`` and ``test_loss``; of pairs also ``test_accuracy_low`` and
    ``test_accuracy_high``, their 95 % interval over the images.

    Raises:
        DataError: if the test images are missing or damaged, or make no pairs.
        CheckpointError: if a model file is damaged.
    """
    # These import torch: workers have it already, and nothing else needs it in the supervisor.
    from mnist_core.checkpoints import checkpoint
    from mnist_core.checkpoints.evaluate_checkpoint import judge
    from mnist_core.data.datasets import load_test
    from mnist_core.device import runtime
    from mnist_core.tasks.pair_metrics import PairEvaluation

    split = load_test(train.data, runtime.resolve(train).device)
    metrics = {}
    for number, path in models.items():
        found = judge(checkpoint.load(path), split)
        figures = dict(found.metrics)
        # The interval is over images, each of which is in many pairs, not over the pairs.
        if isinstance(found, PairEvaluation):
            figures["accuracy_low"], figures["accuracy_high"] = found.interval()
        metrics[number] = {f"test_{name}": value for name, value in figures.items()}
    return metrics
