"""What a training of the command line says: printed, and kept in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from mnist_core.console.plain_text import counted
from mnist_core.console.safe_console import SafeConsole
from mnist_core.data import Data
from mnist_core.errors import UserError
from mnist_core.trainer.results import TrainResult


class Log:
    """Prints, and writes the same into a file, if there is one."""

    def __init__(self, console: Console, file: Path | None) -> None:
        self.console = console
        self._file = file

    def say(self, what: str | Table) -> None:
        """Print a line or a table; raise ``UserError`` if it cannot be written."""
        try:
            self.console.print(what)
        except OSError as error:
            raise UserError(f"the output cannot be written: {error.strerror}") from None
        self.note(what)

    def note(self, what: str | Table) -> None:
        """Write into the file only; raise ``UserError`` if it cannot be written."""
        if self._file is None:
            return
        try:
            with self._file.open("a", encoding="utf-8") as file:
                plain = SafeConsole(
                    file=file, width=160, markup=False, emoji=False, highlight=False
                )
                plain.print(what, soft_wrap=True)
        except OSError as error:
            raise UserError(f"{self._file}: cannot be written: {error.strerror}") from None


def print_result(log: Log, result: TrainResult, *, resumed: bool) -> None:
    """Print figures and speed; of a resumed training images and seconds are of different parts."""
    metrics = result.metrics
    if result.stopped_early and result.best:
        log.say(
            f"stopped early after {counted(len(result.history), 'report')}; the model is that"
            " of report"
            f" {result.best.step}, the best"
        )
    # Of classes and of pairs.
    names = {"val_macro_f1": "macro-F1", "val_roc_auc": "ROC-AUC"}
    key = next(key for key in names if key in metrics)
    speed = f"{result.seconds:.1f} s ({result.images / result.train_seconds:,.0f} images/s on "
    if resumed:
        speed = f"{result.history[-1]['seconds']:.1f} s in all its parts ("
    log.say(
        f"validation accuracy {metrics['val_accuracy']:.4f}, {names[key]} "
        f"{metrics[key]:.4f}, loss {metrics['val_loss']:.4f}; "
        f"{result.n_parameters:,} parameters; {speed}{result.device_name})"
    )


def compare(record: Mapping[str, Any], result: TrainResult, data: Data, *, changed: bool) -> str:
    """Return one sentence: whether the recorded validation accuracy was reproduced."""
    recorded, got = record.get("val_accuracy"), result.metrics["val_accuracy"]
    if recorded is None:
        return "nothing to compare with: the record has no val_accuracy"
    if recorded == got:
        return f"reproduced: the recorded validation accuracy {recorded!r}, exactly"
    here = {
        "torch": torch.__version__,
        "device_name": result.device_name,
        "data_fingerprint": data.fingerprint,
    }
    reasons = [
        f"{key} was {record[key]}, is {value}"
        for key, value in here.items()
        if key in record and record[key] != value
    ]
    if changed:
        reasons.insert(0, "settings were changed on the command line")
    why = "; ".join(reasons) or "no difference of data, device or torch explains it"
    return f"not the recorded validation accuracy: {recorded!r}, but now {got!r} ({why})"
