"""Readings of a study's test set by ``evaluate``, ``predict``, ``export`` and ``train --test``.

Only a study's supervisor writes its database, so these commands add a line to
``test_readings.jsonl`` in the study's folder.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_core.data.registry import share_images
from mnist_core.errors import UserError

FILE = "test_readings.jsonl"

_MODELS = ("checkpoints", "confirm")
"""Where a study keeps the models that it confirmed, in its folder."""

_UNKNOWN_FOLDER = (
    "a study's model (of its confirm trial {}), copied out of the study's folder, which is not"
    " known: this reading of the test images is not on record there"
)


@dataclass(frozen=True, kw_only=True)
class StudyReading:
    """One line of the file."""

    # when it was written, ISO 8601; in words where the line is damaged
    time: str = "a time that is not known"
    by: str = "a command that is not known"  # the command, e.g. ``evaluate``.
    trial: int | None = None  # the confirm trial whose model was judged; None: not known
    data: str = ""


def study_of(checkpoint: Path) -> Path | None:
    """Return the folder of the study that keeps ``checkpoint``; None: no study does."""
    folder = checkpoint.resolve().parent
    return folder.parents[1] if folder.parts[-2:] == _MODELS else None


def record(
    checkpoint: Path, *, by: str, trained_on: str, data: str, confirm_trial: int | None = None
) -> str:
    """Record that command ``by`` is about to judge ``checkpoint`` on test images.

    Args:
        trained_on: the data set of the study.
        data: the data set that the images are of.
        confirm_trial: of the study that kept the model, from the checkpoint; None: no study did.

    Returns a line that says where it is recorded, or that it is not, as the model was copied out of
    its study's folder; "" if no study has the model, or the images cannot be those of the study.

    Raises:
        UserError: if the line cannot be written, so the images must not be read.
    """
    # Before the model sees the images, so a command that is killed midway is on record.
    study = study_of(checkpoint)
    if not share_images(trained_on, data):
        return ""
    if study is None:
        return "" if confirm_trial is None else _UNKNOWN_FOLDER.format(confirm_trial)
    name = checkpoint.resolve().stem
    _append(study, by=by, trial=int(name) if name.isdecimal() else None, data=data)
    return f"a model of the study in {study}: this reading of the test images is recorded there"


def record_configuration(
    file: Path, *, by: str, trained_on: str, data: str, study: object = None
) -> str:
    """Record that a model trained by a study's ``file``, e.g. its best_config.toml, is judged.

    ``study`` is the name of the study that the file says; None: it says none. Else the arguments,
    what is returned and what is raised are as for ``record``.
    """
    folder = file.resolve().parent
    if not share_images(trained_on, data):
        return ""
    if not folder.joinpath(*_MODELS).is_dir():
        return "" if study is None else unknown_configuration(file)
    _append(folder, by=by, trial=None, data=data)
    return f"a configuration of the study in {folder}: this reading is recorded there"


def unknown_configuration(file: Path) -> str:
    """Return the line that a study's ``file`` is not in the study's folder, which is not known."""
    return (
        f"{file}: a study's configuration outside the study's folder, which is not known: this"
        " reading of the test images is not on record there"
    )


def _append(study: Path, *, by: str, trial: int | None, data: str) -> None:
    """Add a line to the study's file and wait until it is on the disk."""
    file = study / FILE
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "by": by, "trial": trial, "data": data})
    try:
        with file.open("a+b") as opened:
            # A kill may have left half a line: it stays a line of its own, and counts.
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - 1))
            torn = opened.read(1) not in (b"", b"\n")
            opened.write(b"\n" * torn + line.encode() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise UserError(
            f"{file}: cannot be written: {error.strerror}; the test images are not read without a"
            " record in their study"
        ) from None


def read(study: Path) -> tuple[StudyReading, ...]:
    """Return a study's readings, the first one first; raise UserError if they cannot be read."""
    file = study / FILE
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    return tuple(_of_line(line) for line in lines if line.strip())


def _of_line(line: str) -> StudyReading:
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError):
        # A damaged line counts as a reading of which nothing is known.
        return StudyReading()
    if not isinstance(values, Mapping):
        return StudyReading()
    texts = {name: values[name] for name in ("time", "by", "data") if name in values}
    if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
        return StudyReading()
    trial = values.get("trial")
    return StudyReading(**texts, trial=trial if isinstance(trial, int) else None)
