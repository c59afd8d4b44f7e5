"""The trainer: ``train(config, data, report) -> TrainResult``. It knows nothing of studies."""

from collections.abc import Collection
from pathlib import Path

from mnist_core import models, optim, tasks
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import compilation, cuda_graph, device_errors, memory, runtime
from mnist_core.trainer.results import Best, Report, StopTraining, TrainingFailed, TrainResult
from mnist_core.trainer.training import Steps, Training
from mnist_core.trainer.training_state import CheckpointTimer

__all__ = ["Best", "Report", "StopTraining", "TrainResult", "TrainingFailed", "resolve", "train"]


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in what is left to the machine or to torch; raise ConfigError if it lacks something."""
    model = models.resolve(config.model)
    for stage in config.stages():
        tasks.check(stage)
        optim.resolve(stage.optim)
    compilation.check(config)
    machine = runtime.resolve(config)
    cuda_graph.check(config, machine)
    return config.model_copy(
        update={
            "model": model,
            "device": str(machine.device),
            "precision": machine.precision,
            "threads": machine.threads,
            "optim": optim.resolve(config.optim),
        }
    )


def train(
    config: TrainConfig,
    data: Data,
    report: Report | None = None,
    *,
    keep_best: bool = False,
    state_file: Path | None = None,
    keep_state: bool = False,
    state_seconds: float = 0.0,
    state_reports: Collection[int] = (),
    follow: bool = False,
    steps: Steps | None = None,
) -> TrainResult:
    """Train one model on ``data``, which is on the device of ``config``.

    Args:
        report: called after each validation; it may raise ``StopTraining``.
        keep_best: whether to keep the weights of the best report, too.
        state_file: where the training's state is written before ``report`` is called. A training
            that finds its own state there resumes from it, to the same result, without new reports.
        keep_state: whether to leave the state there at the end.
        state_seconds: between two writings of the state, more if writing would take over 2 % of the
            time; 0: at every report.
        state_reports: reports at which it is written in any case.
        follow: whether reports also have ``lr`` and, where the loss gives answers,
            ``train_accuracy``: of augmented images, with dropout, while the weights change.
        steps: who does the steps, see ``mnist_core.stacked``; None: the training itself.

    Raises:
        ConfigError: if the configuration cannot be trained on this machine or data.
        CheckpointError: if the state is damaged, or of another training.
        UserError: if the state cannot be written.
        TrainingFailed: if the loss is not finite, or memory ran out.
    """
    config = resolve(config)
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        memory.reset_peak(machine.device)
        try:
            training = Training(
                config, data, machine, keep_best=keep_best, follow=follow, steps=steps
            )
            timer = CheckpointTimer(state_seconds, reports=state_reports)
            result = training.run(report, state_file, timer)
        except (RuntimeError, MemoryError, OSError) as error:
            if device_errors.is_out_of_memory(error):
                raise TrainingFailed("OutOfMemory", device_errors.first_line(error)) from None
            raise
    if state_file is not None and not keep_state:
        state_file.unlink(missing_ok=True)
    return result
