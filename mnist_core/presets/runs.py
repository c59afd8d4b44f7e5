"""Running a preset: trainings with several seeds, each kept as soon as it is done.

A preset's folder holds ``result.json`` with an entry a training, a checkpoint and a run folder of
each.
"""

import contextlib
import functools
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnist_core import files, parsing, tasks
from mnist_core import train as trainer
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint, reading_record
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.data import Data, load, load_test
from mnist_core.errors import CheckpointError, DataError, UserError
from mnist_core.presets import Preset, Variant
from mnist_core.runs import run_figures, run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.tasks.pair_metrics import PairEvaluation
from mnist_core.version import TRAINER_VERSION, versions

RESULT = "result.json"

Entry = dict[str, Any]  # a training in ``result.json``


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a preset."""

    variant: Variant
    config: TrainConfig
    key: str  # hash of the configuration without seed and folders, of the data and the trainer

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return f"{self.variant.name}-seed{self.config.seed}-{self.key}"


def plan(
    preset: Preset,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    changes: Mapping[str, Any],
) -> list[Job]:
    """Return all trainings, seed by seed, so that an early end leaves as much of each variant.

    Raises:
        ConfigError: if a change does not fit.
        DataError: if the data cannot be loaded.
    """
    jobs = []
    for seed in seeds:
        for variant in variants:
            config = trainer.resolve(preset.config_of(variant, {**changes, "seed": seed}))
            data = load(config.data, config.device)
            jobs.append(Job(variant=variant, config=config, key=_key(config, data.fingerprint)))
    return jobs


class Results:
    """The finished trainings of a preset, in ``result.json`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; raise ``UserError`` if the file is damaged."""
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        self._read()

    def find(self, job: Job, *, test: str = "") -> Entry | None:
        """Return the training, if it is finished.

        With ``test`` it must have read the test images of that data set, or still be able to.
        """
        entry = self._entries.get(job.name)
        if entry is None or "failed" in entry or not test or test in entry["test"]:
            return entry
        return entry if self.checkpoint(job).is_file() else None

    def checkpoint(self, job: Job) -> Path:
        """Return where the trained model lies."""
        return self.folder / f"{job.name}.safetensors"

    def run_folder(self, job: Job) -> Path:
        """Return the run folder of the training; it need not exist."""
        return self.folder / "runs" / torch.device(job.config.device).type / job.name

    def keep(self, job: Job, entry: Entry) -> None:
        """Add or replace a training; raise ``UserError`` if the file cannot be written."""
        self._read()  # another process may have added some of its own
        self._entries[job.name] = entry
        self._write({"trainings": list(self._entries.values())})

    def sum_up(self, summary: Sequence[Mapping[str, Any]], jobs: Sequence[Job]) -> None:
        """Add a ``summary`` of ``jobs``; raise ``UserError`` if the file cannot be written."""
        self._read()
        self._write(
            {
                "summary": list(summary),
                "of": [job.name for job in jobs],
                "trainings": list(self._entries.values()),
            }
        )

    def _read(self) -> None:
        path = self.folder / RESULT
        try:
            entries = parsing.json_text(path.read_text(encoding="utf-8"))["trainings"]
            self._entries |= {entry["name"]: entry for entry in entries}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: is damaged or cannot be read ({type(error).__name__}: {error});"
                " move it away"
            ) from None

    def _write(self, content: Mapping[str, Any]) -> None:
        files.write_atomically(self.folder / RESULT, json.dumps(content, indent=1))


def run(job: Job, results: Results, report: trainer.Report | None = None) -> Entry:
    """Train and keep, a failed one too; raise UserError if memory or the disk does not suffice."""
    data = load(job.config.data, job.config.device)
    entry: Entry = {
        "name": job.name,
        "variant": job.variant.name,
        "seed": job.config.seed,
        "key": job.key,
        "config": job.config.to_dict(),
        "data": {"name": data.name, "fingerprint": data.fingerprint},
        "versions": versions(),
    }
    state = results.folder / f"{job.name}.state"
    resumed = state.exists()
    try:
        with tasks.blamed_on_the_model(job.config, data):
            result = _train(job, state, report)
    except trainer.TrainingFailed as failure:
        if failure.kind != "NonFiniteLoss":
            raise UserError(f"{job.name}: {failure.kind}: {failure}") from None
        state.unlink(missing_ok=True)
        entry["failed"] = f"{failure.kind}: {failure}"
        results.keep(job, entry)
        return entry
    entry |= {
        "metrics": result.metrics,
        "epochs": result.history[-1]["epoch"],
        "stopped_early": result.stopped_early,
        "images": result.images,
        "resumed": resumed,  # then the seconds are of the last part only
        "seconds": result.seconds,
        "train_seconds": result.train_seconds,
        "peak_memory": result.peak_memory,
        "n_parameters": result.n_parameters,
        "device_name": result.device_name,
        "test": {},
    }
    checkpoint.save(
        results.checkpoint(job),
        result.model,
        result.config,
        n_classes=data.n_classes,
        metrics=result.metrics,
        about=result.about,
    )
    _write_run_folder(results, job, result, data)
    results.keep(job, entry)
    state.unlink(missing_ok=True)
    return entry


def _train(job: Job, state: Path, report: trainer.Report | None) -> trainer.TrainResult:
    data = load(job.config.data, job.config.device)
    train = functools.partial(trainer.train, state_file=state, keep_state=True, follow=True)
    if state.exists():
        try:
            return train(job.config, data, report)
        except CheckpointError:
            # Damaged, or of another folder or torch: a restart gives the same result, only later.
            with contextlib.suppress(OSError):
                state.unlink()
    return train(job.config, data, report)


def _write_run_folder(results: Results, job: Job, result: trainer.TrainResult, data: Data) -> None:
    """Write the run folder of a finished training, as ``train`` leaves one."""
    # It replaces one of the same training, whose readings of the test images stay.
    path = results.run_folder(job)
    before = []
    if path.exists():
        with contextlib.suppress(UserError):  # interrupted before it was whole
            before = run_record.read(path).get("test_readings", [])
        shutil.rmtree(path)
    run = RunFolder.create(path.parent.parent, job.config, data, name=job.name)
    run.update(test_readings=before)
    run.write_result(result, data.n_classes)
    title = f"{job.config.model.name} on {data.name}, {job.name}"
    run_figures.curves(run.path / "curves.png", result.history, title=title)
    run.end(run_record.DONE)


def data_to_test_on(preset: Preset, job: Job, root: str) -> DataConfig:
    """Return whose test images are read: the preset's, unless it runs on data of another name."""
    own = job.config.data
    name = preset.about.test_on
    if not name or own.name != preset.config_of(job.variant).data.name:
        return own.model_copy(update={"root": root}) if root else own
    return DataConfig(name=name, root=root, split_seed=own.split_seed)


def check_test(source: DataConfig, device: str) -> None:
    """Raise ``DataError`` if the test images cannot be read, before anything is trained for it."""
    if problem := load(source, device).test_problem:
        raise DataError(problem)


def read_test(job: Job, results: Results, source: DataConfig) -> bool:
    """Judge the model on test images, once; return whether; raise UserError if it cannot be."""
    entry = results.find(job)
    if entry is None or "failed" in entry or source.name in entry["test"]:
        return False
    device = job.config.device
    n_classes = load(source, device).n_classes
    kept = checkpoint.load(results.checkpoint(job))
    if kept.n_classes != n_classes:
        raise DataError(
            f"{job.name}: knows {counted(kept.n_classes, 'class', 'classes')}, but"
            f" {source.name} has {n_classes}"
        )
    found = evaluate_checkpoint.judge(kept, load_test(source, device))
    figures = dict(found.metrics)
    if isinstance(found, PairEvaluation):
        figures["accuracy_low"], figures["accuracy_high"] = found.interval()
    fingerprint = load(source, device).fingerprint
    reading = reading_record.describe(
        "presets run --test", "last", kept, source.name, fingerprint, device, found
    )
    run_record.add_test_reading(results.run_folder(job), reading)
    entry["test"][source.name] = {f"test_{name}": value for name, value in figures.items()}
    results.keep(job, entry)
    return True


def _key(config: TrainConfig, fingerprint: str) -> str:
    settings = config.to_dict()
    del settings["seed"]
    del settings["data"]["root"]
    settings["data"].pop("test_set", None)
    parts = json.dumps([settings, fingerprint, TRAINER_VERSION], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]
