"""The one reading of the test set: confirmed models in, test metrics out.

Only ``studies/protocol.py`` calls this, once a study; nothing is chosen by what comes out.
"""

from collections.abc import Mapping
from pathlib import Path

from mnist_core import checkpoint
from mnist_core.data.datasets import load, load_test
from mnist_core.evaluate import evaluate
from studies.plan import Plan


def read_test(plan: Plan, models: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """Evaluate each model on the test images.

    Args:
        plan: says which data set, and the device.
        models: checkpoint files by confirm trial.

    Returns:
        ``test_accuracy``, ``test_loss`` and ``test_macro_f1`` by confirm trial.

    Raises:
        DataError: the test images are missing or damaged.
        CheckpointError: a model file is damaged.
    """
    device = plan.train.device
    n_classes = load(plan.train.data, device).n_classes
    split = load_test(plan.train.data, device)
    metrics = {}
    for number, path in models.items():
        kept = checkpoint.load(path)
        found = evaluate(
            kept.model.to(device), split, n_classes=n_classes, precision=kept.config.precision
        )
        metrics[number] = {
            "test_accuracy": found.accuracy,
            "test_loss": found.loss,
            "test_macro_f1": found.macro_f1,
        }
    return metrics
