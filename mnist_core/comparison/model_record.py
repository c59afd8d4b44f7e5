"""What is recorded of a trained model: by its run's folder, its checkpoint, or a best_config.toml.

Only a best_config.toml needs torch.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mnist_core import files, parsing
from mnist_core.checkpoints import checkpoint_kinds
from mnist_core.config import RECORD, TrainConfig, read_settings
from mnist_core.errors import CheckpointError, ConfigError, UserError
from mnist_core.runs import run_lookup, run_record

ACCURACY = "val_accuracy"


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A trained model as it is recorded; what is not recorded is empty or None.

    Attributes:
        data: ``name``, ``fingerprint``, ``train_images``, ``validation_images``, ``classes``.
        machine: the device's name, and the environment.
        cost: ``seconds``, ``images_per_second`` and the like.
        history: the reports, ``step`` and ``epoch`` and metrics each.
        judged: on how much the accuracy was measured: ``n``, ``of``, ``accuracy_se``.
        other_seeds: validation accuracy by seed of other trainings of the same configuration.
    """

    name: str
    config: TrainConfig
    metrics: Mapping[str, float]
    data: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    judged: Mapping[str, Any] = field(default_factory=dict)
    readings: Sequence[Mapping[str, Any]] = ()
    checkpoint: Path | None = None
    run: Path | None = None
    other_seeds: Mapping[int, float] = field(default_factory=dict)


def find(what: str, *, runs: Path = run_lookup.RUNS, checkpoint: str | None = None) -> ModelRecord:
    """Return the record of ``what``: a run, a checkpoint, a study's folder or result.

    Raises:
        UserError: if it does not exist or is damaged, or the run has not finished.
    """
    path = Path(what)
    toml = path / run_lookup.BEST_CONFIG if _is(path, Path.is_dir) else path
    if toml.suffix == ".toml" and toml.name != run_lookup.CONFIG and _is(toml, Path.is_file):
        if checkpoint:
            raise UserError(f"--checkpoint {checkpoint}: {what} is not a run; leave it out")
        return _of_a_study(what, toml)
    run_files = (run_lookup.CONFIG, run_lookup.RUN)
    is_model = path.name not in run_files and _is(path, Path.is_file)
    if path.suffix == ".safetensors" or checkpoint or is_model:
        found = run_lookup.find_model(what, runs=runs, checkpoint=checkpoint)
        if found.run is None:
            return _of_a_checkpoint(what, found.checkpoint)
        return of_a_run(what, found.run, found.name)
    folder = path.parent if path.name == run_lookup.CONFIG and _is(path, Path.is_file) else None
    return of_a_run(what, folder or run_lookup.find_run(what, runs=runs), "last")


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # no possible name: too long, a NUL
        return False


def of_a_run(name: str, folder: Path, checkpoint: str) -> ModelRecord:
    """Return what a run's folder records of its model ``last`` or ``best``.

    Raises:
        UserError: if it is damaged, or the run has not finished.
    """
    facts = run_record.read(folder)
    status = facts.get("status")
    if status != run_record.DONE:
        raise UserError(
            f"{folder}: is not finished (its status is {status!r}), so there is nothing to compare;"
            f" resume it: {run_lookup.resume_command(folder)}"
        )
    settings, _ = read_settings(folder / run_lookup.CONFIG)
    config = TrainConfig.from_mapping(settings, source=str(folder / run_lookup.CONFIG))
    of_best = facts.get("best", {}).get("metrics")
    metrics = facts.get("metrics") if checkpoint == "last" else of_best
    kept = folder / f"{checkpoint}.safetensors"
    names = ("seconds", "train_seconds", "images_per_second", "peak_memory", "n_parameters")
    return ModelRecord(
        name=name,
        config=config,
        metrics=_metrics(metrics, str(folder / run_lookup.RUN)),
        data=facts.get("data", {}),
        machine={
            key: facts[key] for key in ("environment", "device_name") if facts.get(key) is not None
        },
        versions={key: str(value) for key, value in facts.get("versions", {}).items()},
        cost={key: facts[key] for key in names if isinstance(facts.get(key), int | float)},
        history=_history(folder),
        judged=_judged(facts.get("judged", {}), folder),
        readings=_readings(facts.get("test_readings", []), checkpoint),
        checkpoint=kept if kept.is_file() else None,
        run=folder,
    )


def _of_a_checkpoint(name: str, path: Path) -> ModelRecord:
    try:
        files.check_regular(path)
        with safe_open(path, framework="numpy") as file:
            header: dict[str, Any] = file.metadata() or {}
        config = TrainConfig.from_mapping(parsing.json_text(header["config"]), source=str(path))
        metrics = _metrics(parsing.json_text(header["metrics"]), str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(checkpoint_kinds.unreadable(path, error)) from None
    except (KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(checkpoint_kinds.foreign(path, error)) from None
    return ModelRecord(name=name, config=config, metrics=metrics, checkpoint=path)


def _of_a_study(name: str, path: Path) -> ModelRecord:
    settings, record = read_settings(path)
    if ACCURACY not in record:
        raise UserError(
            f"{path}: records no {ACCURACY}, as a study's {run_lookup.BEST_CONFIG} does in its"
            f" [{RECORD}]; name a run, a checkpoint or such a file"
        )
    config = TrainConfig.from_mapping(settings, source=str(path))
    from mnist_core import models  # torch takes seconds to import

    # Such a file leaves the model's own values out, a run's does not.
    config = config.model_copy(update={"model": models.resolve(config.model)})
    metrics = {
        key: value
        for key, value in record.items()
        if key.startswith(("val_", "train_")) and isinstance(value, int | float)
    }
    confirm = _table(record, "confirm", path)
    others: dict[int, float] = {}
    if confirm.get("metric") == ACCURACY:
        others = _by_seed(confirm, path)
    number = record.get("confirm_trial")
    kept = path.parent / "checkpoints" / "confirm" / f"{number}.safetensors"
    versions = {key: str(value) for key, value in _table(record, "versions", path).items()}
    return ModelRecord(
        name=name,
        config=config,
        metrics=_metrics(metrics, str(path)),
        data={"name": config.data.name, "fingerprint": record.get("data_fingerprint")},
        machine={"device_name": record["device_name"]} if "device_name" in record else {},
        versions=versions,
        checkpoint=kept if kept.is_file() else None,
        other_seeds={seed: value for seed, value in others.items() if seed != config.seed},
    )


def _by_seed(confirm: Mapping[str, Any], path: Path) -> dict[int, float]:
    seeds, values = confirm.get("seeds"), confirm.get("values")
    if (
        not (isinstance(seeds, list) and isinstance(values, list) and len(seeds) == len(values))
        or not all(isinstance(seed, int) for seed in seeds)
        or not all(isinstance(value, int | float) for value in values)
    ):
        raise UserError(f"{path}: record.confirm must have as many seeds as values, all numbers")
    return dict(zip(seeds, values, strict=True))


def weights_digest(path: Path) -> str:
    """Return a hash of a checkpoint's weights alone: names, types, shapes and every bit.

    Raises:
        CheckpointError: if it cannot be read.
    """
    digest = hashlib.sha256()
    for name, kind, shape, content in _tensors(path):
        digest.update(json.dumps([name, kind, shape, len(content)]).encode())
        digest.update(content)
    return digest.hexdigest()


def _tensors(path: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    try:
        files.check_regular(path)
        with safe_open(path, framework="numpy") as file:
            for name in sorted(file.keys()):
                value = file.get_tensor(name)
                yield name, str(value.dtype), list(value.shape), value.tobytes()
    except (OSError, SafetensorError, TypeError) as error:  # TypeError: a type numpy has not
        raise CheckpointError(checkpoint_kinds.unreadable(path, error)) from None


def _history(folder: Path) -> list[dict[str, float]]:
    rows = run_record.read_metrics(folder)
    if any("epoch" not in row for row in rows):
        raise UserError(f"{folder / run_record.METRICS}: is damaged: it has no column epoch")
    return rows


def _judged(judged: dict[str, Any], folder: Path) -> dict[str, Any]:
    numbers = [judged.get(name) for name in ("n", "accuracy_se")]
    if judged and not all(isinstance(number, int | float) and number > 0 for number in numbers):
        raise UserError(f"{folder / run_lookup.RUN}: is damaged: judged is {judged!r}")
    return judged


def _readings(readings: list[dict[str, Any]], checkpoint: str) -> list[dict[str, Any]]:
    # What an export compared itself on has no figures of the model as it was trained.
    own = [one for one in readings if one.get("checkpoint") == checkpoint]
    return [one for one in own if one.get("by") != run_record.EXPORT]


def _metrics(metrics: Any, source: str) -> dict[str, float]:
    if not isinstance(metrics, dict) or not isinstance(metrics.get(ACCURACY), int | float):
        raise UserError(f"{source}: has no metrics with {ACCURACY}; did the training end?")
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)}


def _table(facts: Mapping[str, Any], key: str, source: Path) -> dict[str, Any]:
    table = facts.get(key) or {}
    if not isinstance(table, dict):
        raise UserError(f"{source}: is damaged: {key} must be a table, but is {table!r}")
    return table
