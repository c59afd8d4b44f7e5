"""One training of the command line, from its start to the files that it leaves."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mnist_core import checkpoint, evaluation_table, judge, readings, run_record
from mnist_core import train as trainer
from mnist_core.checkpoint import Checkpoint
from mnist_core.config import TrainConfig
from mnist_core.data import Data, load, load_test
from mnist_core.errors import UserError
from mnist_core.results import TrainResult
from mnist_core.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked for.

    Attributes:
        config: of the training.
        root: where runs lie; None: no folder is written.
        name: of the folder; None: one is made up.
        overrides: settings that the command line changed, dotted.
        config_file: in which it changed them.
        record: what the configuration file recorded of an earlier training.
        resume: the folder of a run to go on with.
        test: whether to read the test images at the end.
        pictures: whether to draw.
        save: a file for the model beside the folder's own.
    """

    config: TrainConfig
    root: Path | None = None
    name: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    config_file: Path | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    resume: Path | None = None
    test: bool = False
    pictures: bool = True
    save: Path | None = None


class Log:
    """Prints, and writes the same into a file, if there is one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.file: Path | None = None

    def say(self, what: str | Table) -> None:
        """Print a line or a table."""
        self._console.print(what)
        self.note(what)

    def note(self, what: str | Table) -> None:
        """Write into the file only.

        Raises:
            UserError: it cannot be written.
        """
        if self.file is None:
            return
        try:
            with self.file.open("a", encoding="utf-8") as file:
                plain = Console(file=file, width=160, markup=False, emoji=False, highlight=False)
                plain.print(what, soft_wrap=True)
        except OSError as error:
            raise UserError(f"{self.file}: cannot be written: {error.strerror}") from None


def run(plan: Plan, console: Console) -> TrainResult:
    """Train, print, and write what was asked for.

    Raises:
        UserError: the training or a file of it is refused, or the training came to nothing.
    """
    config = trainer.resolve(plan.config)
    data = load(config.data, config.device)
    if plan.test:
        load_test(config.data, config.device)  # what is missing is missed before the training
    folder = _folder(plan, config, data)
    log = Log(console)
    log.file = folder.path / "train.log" if folder else None
    if folder is None:
        result = _train(config, data, log, console, None)
        _finish(plan, result, data, log, None)
        return result
    status, reason = run_record.FAILED, None
    try:
        result = _train(config, data, log, console, folder)
        _finish(plan, result, data, log, folder)
        status = run_record.DONE
    except KeyboardInterrupt:
        status = run_record.STOPPED
        if folder.state.exists():
            place = shlex.quote(str(folder.path))
            log.say(f"broken off; to go on: python -m mnist_core train --resume {place}")
        raise
    except UserError as error:
        reason = str(error)
        raise
    finally:
        if status != run_record.DONE and plan.resume is None and not folder.reported:
            folder.discard()
        else:
            folder.end(status, reason)
    log.say(f"everything about it: {folder.path}")
    return result


def _folder(plan: Plan, config: TrainConfig, data: Data) -> RunFolder | None:
    if plan.root is None:
        return None
    if plan.resume is None:
        return RunFolder.create(
            plan.root,
            config,
            data,
            name=plan.name,
            overrides=plan.overrides,
            base=plan.config_file,
        )
    return RunFolder.reopen(plan.resume, config, data)


def _train(
    config: TrainConfig, data: Data, log: Log, console: Console, folder: RunFolder | None
) -> TrainResult:
    log.say(
        f"{config.model.name} on {config.data.name} ({len(data.train):,} images), "
        f"{config.optim.name} lr {config.optim.lr:g}, {config.epochs} epochs of batch "
        f"{config.batch_size}, seed {config.seed}; {config.device}, {config.precision}, "
        f"{config.threads} threads"
    )
    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(config.epochs)),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    total = config.epochs * config.reports_per_epoch
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=total, epoch="0", said="")

        def report(step: int, metrics: Mapping[str, float]) -> None:
            said = (
                f"train loss {metrics['train_loss']:.4f}  "
                f"validation loss {metrics['val_loss']:.4f}  "
                f"accuracy {metrics['val_accuracy']:.2%}"
            )
            epoch = f"{step / config.reports_per_epoch:g}"
            progress.update(bar, completed=step, epoch=epoch, said=said)
            (log.note if console.is_terminal else log.say)(f"epoch {epoch}/{config.epochs}  {said}")
            if folder is not None:
                folder.report(step, metrics)

        try:
            return trainer.train(
                config,
                data,
                report,
                keep_best=folder is not None,
                state_file=folder.state if folder else None,
            )
        except trainer.TrainingFailed as failure:
            if folder and failure.kind == "NonFiniteLoss":  # to go on would end there again
                folder.state.unlink(missing_ok=True)
            raise UserError(f"the training ended: {failure.kind}: {failure}") from None


def _finish(
    plan: Plan, result: TrainResult, data: Data, log: Log, folder: RunFolder | None
) -> None:
    """Write the models first: they took the time."""
    if folder:
        folder.write_result(result, data.n_classes)
    if plan.save:
        checkpoint.save(
            plan.save,
            result.model,
            result.config,
            n_classes=data.n_classes,
            metrics=result.metrics,
        )
    _print_result(log, result)
    kept = Checkpoint(
        model=result.model,
        config=result.config,
        n_classes=data.n_classes,
        metrics=result.metrics,
    )
    if folder:
        found = judge.judge(kept, data.validation)
        folder.update(judged=readings.certainty(found))
        log.note("on the validation images:")
        evaluation_table.print_evaluation(log.note, found)
        if plan.pictures:
            from mnist_core import run_figures  # matplotlib takes half a second

            title = f"{result.config.model.name} on {data.name}, {folder.path.name}"
            run_figures.draw_all(
                folder.path,
                title=title,
                history=result.history,
                kept=kept,
                split=data.validation,
                found=found,
            )
    if plan.test:
        _read_test(kept, data, log, folder)
    if plan.record:
        log.say(_compare(plan.record, result, data, changed=bool(plan.overrides)))
    if plan.save:
        log.say(f"model written to {plan.save}")


def _read_test(kept: Checkpoint, data: Data, log: Log, folder: RunFolder | None) -> None:
    images = load_test(kept.config.data, kept.config.device)
    found = judge.judge(kept, images)
    if folder:
        device = kept.config.device
        reading = readings.describe("train --test", "last", kept, data, device, found)
        folder.add_test_reading(reading)
    log.say(f"on the {len(images):,} test images of {kept.config.data.name}, read once:")
    evaluation_table.print_evaluation(log.say, found)


def _print_result(log: Log, result: TrainResult) -> None:
    metrics = result.metrics
    if result.stopped_early and result.best:
        log.say(
            f"stopped early after {len(result.history)} reports; the model is that of report"
            f" {result.best.step}, the best"
        )
    # Of classes and of pairs.
    names = {"val_macro_f1": "macro-F1", "val_roc_auc": "ROC-AUC"}
    key = next(key for key in names if key in metrics)
    log.say(
        f"validation accuracy {metrics['val_accuracy']:.4f}, {names[key]} "
        f"{metrics[key]:.4f}, loss {metrics['val_loss']:.4f}; "
        f"{result.n_parameters:,} parameters; {result.seconds:.1f} s "
        f"({result.images / result.train_seconds:,.0f} images/s on {result.device_name})"
    )


def _compare(record: Mapping[str, Any], result: TrainResult, data: Data, *, changed: bool) -> str:
    """Say in one sentence whether the recorded validation accuracy came out again."""
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
