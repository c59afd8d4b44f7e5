"""The reading of the test images at a training's end."""

from pathlib import Path

from mnist_core.checkpoints import (
    evaluate_checkpoint,
    evaluation_table,
    reading_record,
    study_readings,
)
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.config import DataConfig, read_settings
from mnist_core.console.plain_text import counted
from mnist_core.data import Data, load_test
from mnist_core.runs.run_folder import RunFolder
from mnist_core.runs.training_log import Log


def record_in_study(config_file: Path, data: Data) -> str:
    """Record with the study that wrote the configuration, if one did, that its test set is read."""
    if not config_file.is_file():  # of a run that is resumed
        return study_readings.unknown_configuration(config_file)
    settings, record = read_settings(config_file)
    trained_on = settings.get("data", {}).get("name", DataConfig().name)
    return study_readings.record_configuration(
        config_file,
        by="train --test",
        trained_on=trained_on,
        data=data.name,
        study=record.get("study"),
    )


def read_test(kept: Checkpoint, data: Data, log: Log, folder: RunFolder | None) -> None:
    """Evaluate the model on the test images, print it, and record it in the run's folder."""
    images = load_test(kept.config.data, kept.config.device)
    found = evaluate_checkpoint.judge(kept, images)
    if folder:
        device = kept.config.device
        reading = reading_record.describe(
            "train --test", "last", kept, data.name, data.fingerprint, device, found
        )
        folder.add_test_reading(reading)
    log.say(f"on the {counted(len(images), 'test image')} of {kept.config.data.name}, read once:")
    evaluation_table.print_evaluation(log.say, found, kept.about.class_names)
