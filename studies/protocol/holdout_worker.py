"""The one reading of the test set: confirmed models in, test metrics out.

Only ``studies/protocol/phases.py`` calls this, once a study; nothing is chosen by what comes out.
"""

from collections.abc import Mapping
from pathlib import Path

from studies.planning.plan import Plan


def read_test(plan: Plan, models: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """Evaluate each model on the test images.

    A threshold that a model needs is the one that was chosen on its validation images.

    Args:
        plan: says which data set, and the device.
        models: checkpoint files by confirm trial.

    Returns:
        the task's metrics by confirm trial, e.g. ``test_accuracy`` and ``test_loss``; of pairs also
        ``test_accuracy_low`` and ``test_accuracy_high``, their 95 % interval over the images.

    Raises:
        DataError: the test images are missing or damaged, or make no pairs.
        CheckpointError: a model file is damaged.
    """
    # These import torch: workers have it already, and nothing else needs it in the supervisor.
    from mnist_core.checkpoints import checkpoint
    from mnist_core.checkpoints.evaluate_checkpoint import judge
    from mnist_core.data.datasets import load_test
    from mnist_core.device import runtime
    from mnist_core.tasks.pair_metrics import PairEvaluation

    split = load_test(plan.train.data, runtime.resolve(plan.train).device)
    metrics = {}
    for number, path in models.items():
        kept = checkpoint.load(path)
        found = judge(kept, split)
        figures = dict(found.metrics)
        if isinstance(found, PairEvaluation):
            figures["accuracy_low"], figures["accuracy_high"] = found.interval()
        metrics[number] = {f"test_{name}": value for name, value in figures.items()}
    return metrics
