"""One training of the command line, from its start to the files that it leaves."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mnist_core import files, tasks
from mnist_core import train as trainer
from mnist_core.checkpoints import (
    checkpoint,
    evaluate_checkpoint,
    evaluation_table,
    reading_record,
)
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.config import TrainConfig
from mnist_core.console.counted_progress import counted_progress
from mnist_core.console.plain_text import counted
from mnist_core.console.streams import can_redraw
from mnist_core.data import Data, datasets, load, load_test, name_or_path
from mnist_core.errors import UserError
from mnist_core.runs import final_reading, run_lookup, run_record, run_trackers, training_log
from mnist_core.runs.run_folder import RunFolder
from mnist_core.runs.training_log import Log
from mnist_core.tracking.tracked import Trackers
from mnist_core.trainer.results import TrainResult

_STATE_SECONDS = 1.0
"""Between two writings of a training's state: a kill may cost that much, and 2 % more."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked for."""

    config: TrainConfig
    root: Path | None = None  # where runs lie; None: no folder is written
    name: str | None = None  # of the folder; None: one is made up
    # settings that the command line changed, dotted
    overrides: Mapping[str, Any] = field(default_factory=dict)
    config_file: Path | None = None
    # what the configuration file recorded of an earlier training
    record: Mapping[str, Any] = field(default_factory=dict)
    # the exported configuration of a study, e.g. its best_config.toml, that this trains again
    study_file: Path | None = None
    resume: Path | None = None  # the folder of a run to resume
    test: bool = False
    pictures: bool = True
    save: Path | None = None  # a file for the model beside the folder's own
    trackers: Sequence[str] = ()  # names; they need a folder


class TrainingEnded(UserError):
    """A training failed: its loss is not finite, or memory ran out."""


def run(plan: Plan, console: Console) -> TrainResult:
    """Train, print, and write what was asked for; raise UserError if it is refused or fails."""
    config = trainer.resolve(plan.config)
    config = config.model_copy(update={"data": name_or_path.placed(config.data)})
    with counted_progress(console, "decoding images") as progress:
        notes = datasets.prepare(config.data, progress).notes
    data = load(config.data, config.device)
    if plan.test:
        load_test(config.data, config.device)  # what is missing is missed before the training
    folder = _folder(plan, config, data)
    log = Log(console, folder.path / "train.log" if folder else None)
    for note in notes:
        log.say(f"note: {note}")
    if folder is None:
        with tasks.blamed_on_the_model(config, data):
            result = _train(config, data, log, None, Trackers((), None, log.say))
        _finish(plan, result, data, log, None)
        return result
    trackers = run_trackers.started(plan.trackers, folder, data, log.say)
    try:
        with tasks.blamed_on_the_model(config, data):
            result = _train(config, data, log, folder, trackers)
        _finish(plan, result, data, log, folder)
        folder.end(run_record.DONE)
    except KeyboardInterrupt as error:
        said = _leave(folder, error, is_new=plan.resume is None) or "nothing of it is kept"
        said = f"interrupted; {said}"
        with contextlib.suppress(UserError):  # the folder may be gone
            log.note(said)
        console.print(said)
        raise
    except UserError as error:
        how = _leave(folder, error, is_new=plan.resume is None)
        raise UserError(f"{error}; {how}" if how else str(error)) from None
    except BaseException as error:  # a defect; its traceback is shown
        _leave(folder, error, is_new=plan.resume is None)
        raise
    finally:
        # When all is written: a tracker that hangs is not worth a model.
        trackers.end(run_trackers.ended(folder))
    log.say(f"everything about it: {folder.path}")
    return result


def _folder(plan: Plan, config: TrainConfig, data: Data) -> RunFolder | None:
    if plan.root is None:
        return None
    if plan.resume is not None:
        return RunFolder.reopen(plan.resume, config, data)
    save = str(plan.save.absolute()) if plan.save else None
    study_file = str(plan.study_file.absolute()) if plan.study_file else None
    asked: dict[str, Any] = {"test": plan.test, "pictures": plan.pictures, "save": save}
    asked |= {"study_file": study_file, "track": list(plan.trackers) or None}
    return RunFolder.create(
        plan.root,
        config,
        data,
        name=plan.name,
        overrides=plan.overrides,
        base=plan.config_file,
        asked={name: value for name, value in asked.items() if value is not None},
    )


def _leave(folder: RunFolder, error: BaseException, *, is_new: bool) -> str:
    """Record in its folder how a training ended, and return how to resume it; "" if it cannot be.

    The folder of a training that was refused, or cannot be resumed yet, is removed.
    """
    # SystemExit: `… | head`. A full disk stops a training, but it does not fail.
    stopped = isinstance(error, KeyboardInterrupt | SystemExit | UserError)
    stopped = stopped and not isinstance(error, TrainingEnded)
    if stopped and is_new and folder.empty:
        folder.discard()
        return ""
    reason = repr(error) if isinstance(error, Exception) else None
    if isinstance(error, UserError):
        reason = str(error)
    with contextlib.suppress(UserError):  # of a full disk, say: the first error tells more
        folder.end(run_record.STOPPED if stopped else run_record.FAILED, reason)
    if not stopped and not folder.state.exists():
        return ""
    return f"to resume: {run_lookup.resume_command(folder.path)}"


def _train(
    config: TrainConfig, data: Data, log: Log, folder: RunFolder | None, trackers: Trackers
) -> TrainResult:
    console = log.console
    log.say(
        f"{config.model.name} on {config.data.name} ({counted(len(data.train), 'image')}), "
        f"{config.optim.name} lr {config.optim.lr:g}, {counted(config.epochs, 'epoch')} of batch "
        f"{config.batch_size}, seed {config.seed}; {config.device}, {config.precision}, "
        f"{counted(config.threads, 'thread')}"
    )
    if config.precision == "fp16" and config.device == "cpu":
        log.say("warning: fp16 takes several times as long as fp32 on a CPU; use fp32 or bf16")
    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(config.epochs)),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    total = config.epochs * config.reports_per_epoch
    bars = can_redraw(console.file)
    with Progress(*columns, console=console, disable=not bars) as progress:
        bar = progress.add_task("training", total=total, epoch="0", said="")

        def report(step: int, metrics: Mapping[str, float]) -> None:
            said = (
                f"train loss {metrics['train_loss']:.4f}  "
                f"validation loss {metrics['val_loss']:.4f}  "
                f"accuracy {metrics['val_accuracy']:.2%}"
            )
            epoch = f"{step / config.reports_per_epoch:g}"
            progress.update(bar, completed=step, epoch=epoch, said=said)
            (log.note if bars else log.say)(f"epoch {epoch}/{config.epochs}  {said}")
            if folder is not None:
                trackers.report(folder.report(step, metrics))

        try:
            return trainer.train(
                config,
                data,
                report,
                keep_best=folder is not None,
                state_file=folder.state if folder else None,
                keep_state=True,
                state_seconds=_STATE_SECONDS,
                follow=folder is not None,
            )
        except trainer.TrainingFailed as failure:
            if folder and failure.kind == "NonFiniteLoss":  # a resume would end there again
                folder.state.unlink(missing_ok=True)
            raise TrainingEnded(f"the training ended: {failure.kind}: {failure}") from None


def _finish(
    plan: Plan, result: TrainResult, data: Data, log: Log, folder: RunFolder | None
) -> None:
    _keep(plan.save, result, data, folder)
    training_log.print_result(log, result, resumed=folder is not None and folder.resumed)
    kept = Checkpoint(
        model=result.model,
        config=result.config,
        n_classes=data.n_classes,
        metrics=result.metrics,
        about=data.about,
    )
    if folder:
        _judge(result, kept, data, log, folder, pictures=plan.pictures)
    if plan.test:
        said = (
            "" if plan.study_file is None else final_reading.record_in_study(plan.study_file, data)
        )
        final_reading.read_test(kept, data, log, folder)
        if said:
            log.say(said)
    if plan.record:
        said = training_log.compare(plan.record, result, data, changed=bool(plan.overrides))
        log.say(said)
    if plan.save:
        log.say(f"model written to {plan.save}")


def _keep(save: Path | None, result: TrainResult, data: Data, folder: RunFolder | None) -> None:
    """Write the results; a place that cannot be written does not keep the other from it."""
    problems = []
    if save:
        try:
            checkpoint.save(
                save,
                result.model,
                result.config,
                n_classes=data.n_classes,
                metrics=result.metrics,
                about=data.about,
            )
        except UserError as error:
            problems.append(str(error))
    if folder:
        try:
            folder.write_result(result, data.n_classes)
        except UserError as error:
            problems.append(str(error))
            if save and len(problems) == 1:
                problems.append(f"the model is in {save}")
    if problems:
        raise UserError("; ".join(problems))


def _judge(
    result: TrainResult,
    kept: Checkpoint,
    data: Data,
    log: Log,
    folder: RunFolder,
    *,
    pictures: bool,
) -> None:
    found = evaluate_checkpoint.judge(kept, data.validation)
    folder.update(judged=reading_record.certainty(found))
    log.note(f"on the {counted(len(data.validation), 'validation image')}:")
    evaluation_table.print_evaluation(log.note, found, data.about.class_names)
    whole = evaluation_table.confusion_csv(found, data.about.class_names)
    files.write_atomically(folder.path / "confusion.csv", whole)
    if pictures:
        from mnist_core.runs import run_figures  # matplotlib takes half a second

        title = f"{result.config.model.name} on {data.name}, {folder.path.name}"
        run_figures.draw_all(
            folder.path,
            title=title,
            history=result.history,
            kept=kept,
            split=data.validation,
            found=found,
        )
