"""The one reading of the test set: confirmed models in, test metrics out.

Only ``studies/protocol.py`` calls this, once a study; nothing is chosen by what comes out.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

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
    import torch  # it is imported in workers already, and nothing else needs it in the supervisor

    from mnist_core import checkpoint, runtime
    from mnist_core.data.datasets import load_test
    from mnist_core.evaluate import evaluate

    machine = runtime.resolve(plan.train)
    split = load_test(plan.train.data, machine.device)
    metrics = {}
    for number, path in models.items():
        kept = checkpoint.load(path)
        precise = replace(machine, precision=kept.config.precision)
        model = kept.model.to(precise.device).to(memory_format=torch.channels_last)
        with runtime.session(precise, deterministic=kept.config.deterministic):
            found = evaluate(model, split, n_classes=kept.n_classes, runtime=precise)
        metrics[number] = {
            "test_accuracy": found.accuracy,
            "test_loss": found.loss,
            "test_macro_f1": found.macro_f1,
        }
    return metrics
