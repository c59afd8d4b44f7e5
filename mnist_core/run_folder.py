"""The folder of one training: everything that it is, does and comes to, as files.

``<root>/<environment>/<run id>/``, the environment being ``cpu`` or ``cuda``, as actually used:

- ``config.toml``: every setting, nothing left to guess; ``overrides.toml``: what was asked for
- ``run.json``: status, device, versions, data, figures, readings of the test images
- ``metrics.csv``: a row for each report, written as it goes; ``history.json``: the same, at the end
- ``train.log``: what was printed
- ``last.safetensors``, ``best.safetensors``: the model at the end, and at its best report
- ``state.safetensors``: only while it runs or if it was broken off: from there it goes on

(The pictures are ``run_figures``'.)
"""

import copy
import csv
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import tomli_w
import torch
from torch import nn

from mnist_core import checkpoint, run_lookup, run_record
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.errors import UserError
from mnist_core.files import write_atomically
from mnist_core.results import TrainResult
from mnist_core.version import TRAINER_VERSION, package_version


def key(config: TrainConfig, fingerprint: str) -> str:
    """Return 6 hexadecimal digits of the resolved configuration, data and trainer version."""
    parts = json.dumps([config.to_dict(), fingerprint, TRAINER_VERSION], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:6]


class RunFolder:
    """The folder of a run that is going on. ``create`` or ``reopen`` makes one."""

    def __init__(self, path: Path, config: TrainConfig, facts: dict[str, Any]) -> None:
        """Take a folder that exists; ``facts`` is the content of its ``run.json``."""
        self.path = path
        self.config = config
        self._facts = facts
        self._begun = time.perf_counter()
        self._before = 0.0
        self._rows = 0

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
    ) -> "RunFolder":
        """Make the folder of a new run.

        Args:
            root: where runs lie.
            config: resolved.
            data: what it trains on.
            name: of the folder; left out: UTC time, model and ``key``.
            overrides: settings that the command line changed, dotted.
            base: the configuration file that they were changed in.

        Raises:
            UserError: the name is taken, or the folder cannot be written.
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
            "test_readings": [],
        }
        run = cls(path, config, facts)
        asked: dict[str, Any] = {"config_file": str(base)} if base else {}
        write_atomically(path / run_lookup.CONFIG, tomli_w.dumps(config.to_dict()))
        write_atomically(
            path / "overrides.toml", tomli_w.dumps({**asked, "overrides": dict(overrides or {})})
        )
        run.update(status=run_record.RUNNING, process=_process())
        return run

    @classmethod
    def reopen(cls, path: Path, config: TrainConfig, data: Data) -> "RunFolder":
        """Take the folder of a run that was broken off, to go on.

        Args:
            path: the folder.
            config: as in its file, resolved on this machine.
            data: what it trains on.

        Raises:
            UserError: it has ended, still runs, is damaged, or is of other data.
        """
        facts = run_record.read(path)
        if facts.get("status") == run_record.DONE:
            raise UserError(f"--resume {path}: this run has ended; nothing is left to train")
        if facts.get("status") == run_record.RUNNING and _lives(facts.get("process", {})):
            raise UserError(
                f"--resume {path}: this run goes on, in process {facts['process']['pid']}"
            )
        before = facts.get("data", {}).get("fingerprint")
        if before != data.fingerprint:
            raise UserError(
                f"--resume {path}: its data was {before}, but is {data.fingerprint} now"
            )
        run = cls(path, config, facts)
        if run.state.exists():
            rows = run_record.read_metrics(path)
            if rows:  # without the half of a row that a kill may have left
                _write_metrics(path, rows)
                run._rows, run._before = len(rows), rows[-1]["seconds"]
        else:
            (path / run_record.METRICS).unlink(missing_ok=True)
        run.update(
            status=run_record.RUNNING, process=_process(), resumed=int(facts.get("resumed", 0)) + 1
        )
        return run

    @property
    def state(self) -> Path:
        """Where the training keeps what it goes on from."""
        return self.path / "state.safetensors"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The content of ``run.json``."""
        return self._facts

    @property
    def reported(self) -> bool:
        """Whether the training came to a first report."""
        return self._rows > 0

    def update(self, **facts: Any) -> None:
        """Change ``run.json``; what is None is taken out."""
        changed = {**self._facts, **facts}
        self._facts = {name: value for name, value in changed.items() if value is not None}
        run_record.write(self.path, self._facts)

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row to ``metrics.csv``: on the disk at once, so that a kill keeps it.

        Raises:
            UserError: it cannot be written.
        """
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
        self._rows += 1

    def write_result(self, result: TrainResult, n_classes: int) -> None:
        """Write models, history and figures; the run is not ``done`` by that.

        Raises:
            CheckpointError: a model cannot be written.
            UserError: another file cannot.
        """
        best = result.best
        self._save("last", result.model, result, result.metrics, n_classes)
        if best is not None:
            model = copy.deepcopy(result.model)
            model.load_state_dict(best.weights)
            self._save("best", model, result, best.metrics, n_classes)
        history = [dict(entry) for entry in result.history]
        write_atomically(self.path / "history.json", json.dumps(history, indent=1))
        _write_metrics(self.path, history)
        self.update(
            metrics=result.metrics,
            best=None if best is None else {"step": best.step, "metrics": best.metrics},
            reports=len(history),
            epochs=history[-1]["epoch"],
            stopped_early=result.stopped_early,
            seconds=result.seconds,
            train_seconds=result.train_seconds,
            images=result.images,
            # Of a resumed training the seconds are those of its last part only.
            images_per_second=None
            if "resumed" in self._facts
            else result.images / result.train_seconds,
            n_parameters=result.n_parameters,
            peak_memory=result.peak_memory,
            device_name=result.device_name,
            confusion=result.confusion,
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
        checkpoint.save(path, model, result.config, n_classes=n_classes, metrics=metrics)

    def add_test_reading(self, reading: Mapping[str, Any]) -> None:
        """Add to ``run.json`` that the test images were read, and what came out."""
        run_record.add_test_reading(self.path, reading)
        self._facts = run_record.read(self.path)

    def end(self, status: str, reason: str | None = None) -> None:
        """Say in ``run.json`` how it ended."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.update(status=status, reason=reason, ended=ended, process=None)

    def discard(self) -> None:
        """Remove the folder of a run that was refused before its first step."""
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()


def versions() -> dict[str, str]:
    """Return the versions that a training depends on."""
    found = {
        "trainer": TRAINER_VERSION,
        "mnist-studies": package_version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": metadata.version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if torch.cuda.is_available():
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return found


def _write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    lines = [",".join(rows[0])]
    lines += [",".join(repr(value) for value in row.values()) for row in rows]
    write_atomically(path / run_record.METRICS, "\n".join([*lines, ""]))


def _make(environment: Path, name: str, *, again: bool) -> Path:
    """Make a folder; one that is there already is another run's."""
    for number in range(1, 100):
        path = environment / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not again:
                break
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    raise UserError(f"--name {name}: {path} is there already; choose another name")


def _process() -> dict[str, float]:
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def _lives(process: Mapping[str, float]) -> bool:
    try:
        return psutil.Process(int(process["pid"])).create_time() == process["started"]
    except (psutil.Error, KeyError, ValueError):
        return False
