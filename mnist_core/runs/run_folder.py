"""The folder of a training, ``<root>/<cpu or cuda>/<run id>/``: all files but the pictures."""

import copy
import csv
import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import nn

from mnist_core import files
from mnist_core.checkpoints import checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.errors import UserError
from mnist_core.runs import run_lookup, run_record
from mnist_core.trainer import training_state
from mnist_core.trainer.results import TrainResult
from mnist_core.version import TRAINER_VERSION, versions


def key(config: TrainConfig, fingerprint: str) -> str:
    """Return 6 hexadecimal digits of the resolved configuration, data and trainer version."""
    parts = json.dumps([config.to_dict(), fingerprint, TRAINER_VERSION], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:6]


class RunFolder:
    # config.toml has every setting, overrides.toml those asked for; run.json status, machine, data
    # and figures; metrics.csv a row for each report; last and best.safetensors the model at the end
    # and at its best report; state.safetensors what an interrupted training resumes from.
    """The folder of a running training. ``create`` or ``reopen`` makes one."""

    def __init__(self, path: Path, config: TrainConfig, facts: dict[str, Any]) -> None:
        """Take a folder that exists; ``facts`` is the content of its ``run.json``."""
        self.path = path
        self.config = config
        self._facts = facts
        self._begun = time.perf_counter()
        self._before = 0.0

    @classmethod
    def create(
        cls,
        root: Path,
        config: TrainConfig,
        data: Data,
        *,
        name: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        base: Path | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> "RunFolder":
        """Make the folder of a new run.

        Args:
            name: of the folder; left out: UTC time, model and ``key``.
            overrides: settings that the command line changed, dotted.
            asked: what is to be done at the end; a resume reads it.

        Raises:
            UserError: if the name is taken, or the folder cannot be written.
        """
        environment = torch.device(config.device).type
        now = datetime.now(UTC)
        chosen = name or f"{now:%Y%m%d-%H%M%S}-{config.model.name}-{key(config, data.fingerprint)}"
        path = _make(root / environment, chosen, again=name is None)
        facts = {
            "id": path.name,
            "environment": environment,
            "begun": now.isoformat(timespec="seconds"),
            "device": config.device,
            "precision": config.precision,
            "threads": config.threads,
            "versions": versions(),
            "data": {
                "name": data.name,
                "fingerprint": data.fingerprint,
                "train_images": len(data.train),
                "validation_images": len(data.validation),
                "classes": data.n_classes,
            },
            "asked": dict(asked or {}),
            "test_readings": [],
        }
        run = cls(path, config, facts)
        changed: dict[str, Any] = {"config_file": str(base)} if base else {}
        changed["overrides"] = dict(overrides or {})
        try:
            run._write(run_lookup.CONFIG, tomli_w.dumps(config.to_dict()))
            run._write("overrides.toml", tomli_w.dumps(changed))
            run.update(status=run_record.RUNNING, process=run_record.process_mark())
        except UserError:
            run.discard()
            raise
        return run

    @classmethod
    def reopen(cls, path: Path, config: TrainConfig, data: Data) -> "RunFolder":
        """Take the folder of an interrupted run; raise UserError if it cannot resume as it was."""
        facts = run_record.read(path)
        run = cls(path, config, facts)
        _check_resumable(run, data)
        known = (data.fingerprint, data.train_fingerprint)
        state = training_state.read(run.state, config, *known)
        here = versions()
        if facts.get("versions") != here:
            run.update(versions=here, versions_before=facts.get("versions"))
        times = int(facts.get("resumed", 0)) + 1
        run.update(
            status=run_record.RUNNING, process=run_record.process_mark(), resumed=times, reason=None
        )
        files.remove_drafts(path)
        if state is None:
            (path / run_record.METRICS).unlink(missing_ok=True)
        else:
            # Not the rows that are there: a kill may have left half of one, or come before it.
            rows: list[dict[str, float]] = state.values["history"]
            run._write_metrics(rows)
            run._before = rows[-1]["seconds"]
        return run

    @property
    def state(self) -> Path:
        """The file of the state that the training resumes from."""
        return self.path / "state.safetensors"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The content of ``run.json``."""
        return self._facts

    @property
    def resumed(self) -> bool:
        """Whether the training was interrupted before."""
        return "resumed" in self._facts

    @property
    def empty(self) -> bool:
        """Whether it holds neither a model nor a state to resume from."""
        last = self.path / "last.safetensors"
        return not self.state.exists() and not last.exists()

    def update(self, **facts: Any) -> None:
        """Change ``run.json``; entries that are None are removed."""
        changed = {**self._facts, **facts}
        self._facts = {name: value for name, value in changed.items() if value is not None}
        run_record.write(self.path, self._facts)

    def report(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Add a row to ``metrics.csv``, return it; raise ``UserError`` if it cannot be written."""
        # On the disk at once, so that a kill keeps it.
        seconds = self._before + time.perf_counter() - self._begun
        epoch = step / self.config.reports_per_epoch
        row = {"step": step, "epoch": epoch, "seconds": seconds, **metrics}
        path = self.path / run_record.METRICS
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
        return row

    def write_result(self, result: TrainResult, n_classes: int) -> None:
        """Write models, history and figures; raise ``UserError`` if a file cannot be written."""
        best = result.best
        self._save("last", result.model, result, result.metrics, n_classes)
        if best is not None:
            model = copy.deepcopy(result.model)
            model.load_state_dict(best.weights)
            self._save("best", model, result, best.metrics, n_classes)
        self._write("history.json", json.dumps(result.history, indent=1))
        self._write_metrics(result.history)
        # Of a resumed training the result's seconds are those of its last part only.
        once = {
            "train_seconds": result.train_seconds,
            "images_per_second": result.images / result.train_seconds,
        }
        self.update(
            metrics=result.metrics,
            best=None if best is None else {"step": best.step, "metrics": best.metrics},
            reports=len(result.history),
            epochs=result.history[-1]["epoch"],
            stopped_early=result.stopped_early,
            seconds=result.history[-1]["seconds"] if self.resumed else result.seconds,
            images=result.images,
            n_parameters=result.n_parameters,
            peak_memory=result.peak_memory,
            device_name=result.device_name,
            confusion=result.confusion,
            **({} if self.resumed else once),
        )

    def _save(
        self,
        name: str,
        model: nn.Module,
        result: TrainResult,
        metrics: Mapping[str, float],
        n_classes: int,
    ) -> None:
        path = self.path / f"{name}.safetensors"
        checkpoint.save(
            path,
            model,
            result.config,
            n_classes=n_classes,
            metrics=metrics,
            about=result.about,
        )

    def add_test_reading(self, reading: Mapping[str, Any]) -> None:
        """Add a reading of the test images to ``run.json``."""
        run_record.add_test_reading(self.path, reading)
        self._facts = run_record.read(self.path)

    def end(self, status: str, reason: str | None = None) -> None:
        """Record in ``run.json`` how the run ended; remove the state of a finished run."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.update(status=status, reason=reason, ended=ended, process=None)
        if status == run_record.DONE:
            self.state.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the folder of a run that was refused before its first step."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        files.write_atomically(self.path / name, text)

    def _write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        lines = [",".join(rows[0])]
        lines += [",".join(repr(value) for value in row.values()) for row in rows]
        self._write(run_record.METRICS, "\n".join([*lines, ""]))


def _check_resumable(run: RunFolder, data: Data) -> None:
    facts, place = run.facts, f"--resume {run.path}"
    status = facts.get("status")
    if status == run_record.DONE:
        raise UserError(f"{place}: this run is finished; nothing is left to train")
    if status == run_record.RUNNING and run_record.process_lives(facts.get("process", {})):
        raise UserError(f"{place}: this run is running, in process {facts['process']['pid']}")
    if status == run_record.FAILED and not run.state.exists():
        raise UserError(
            f"{place}: this run failed ({facts.get('reason', 'for no recorded reason')}) and would"
            " again; start a new run with other settings"
        )
    images, trainer = facts.get("data", {}).get("fingerprint"), facts.get("versions", {})
    for name, before, now, same in (
        ("data", images, data.fingerprint, data.is_of(images)),
        ("trainer", trainer.get("trainer"), TRAINER_VERSION, None),
    ):
        if not (before == now or same):
            raise UserError(f"{place}: its {name} was {before}, but is {now} now; start a new run")


def _make(environment: Path, name: str, *, again: bool) -> Path:
    """Make a folder; one that is there already is another run's."""
    for number in range(1, 1000):
        path = environment / (name if number == 1 else f"{name}-{number}")
        try:
            environment.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return path
        except FileExistsError:
            if not environment.is_dir():
                raise UserError(f"--out: {environment} is not a folder; choose another") from None
            if not again:
                break
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"--out: {path}: cannot be written: {reason}") from None
    raise UserError(f"--name {name}: {path} is there already; choose another name")
