"""The run folder of a preset's training, as ``train`` leaves one: history, curves, the model."""

import contextlib
import shutil
from pathlib import Path

import torch

from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.errors import UserError
from mnist_core.runs import run_figures, run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.trainer.results import TrainResult

RUNS = "runs"
"""Within a preset's folder: the root of its runs."""


def folder_of(root: Path, name: str, config: TrainConfig) -> Path:
    """Return where the run folder of a training lies; it need not exist."""
    return root / torch.device(config.device).type / name


def keep(root: Path, name: str, config: TrainConfig, result: TrainResult, data: Data) -> Path:
    """Write the run folder of a training that has ended.

    A folder of that name is of the same training, done before or broken off, and is replaced; the
    readings of the test images that it records stay.

    Args:
        root: where runs lie.
        name: of the folder.
        config: resolved.
        result: of the training.
        data: that it was trained on.

    Returns:
        The folder.

    Raises:
        UserError: it cannot be written.
    """
    path = folder_of(root, name, config)
    before = []
    if path.exists():
        with contextlib.suppress(UserError):  # broken off before it was whole
            before = run_record.read(path).get("test_readings", [])
        shutil.rmtree(path)
    run = RunFolder.create(root, config, data, name=name)
    run.update(test_readings=before)
    run.write_result(result, data.n_classes)
    title = f"{config.model.name} on {data.name}, {name}"
    run_figures.curves(run.path / "curves.png", result.history, title=title)
    run.end(run_record.DONE)
    return run.path
