"""What the objectives of all tasks share: a trial's params become one training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from objectives.base import Outcome, Report, Task, TrainingError
from objectives.base import StopTraining as StopTask
from search_spaces.space import Space

if TYPE_CHECKING:  # torch takes seconds to import, and the supervisor of a study needs none
    from mnist_core.train import TrainResult


@dataclass(frozen=True)
class Training:
    """The objective of a study that trains models of one task.

    The data are loaded once a process (``mnist_core.data`` keeps them).

    Attributes:
        base: the configuration that all trials share.
        space: turns a trial's params into settings of the trainer.
        keep_models: folder for the models of trials that ran their full budget, each as
            ``<number>.safetensors``; None: none is kept.
        TASK: what the models do; the names of the metrics depend on it.
    """

    base: TrainConfig
    space: Space
    keep_models: Path | None = None
    TASK: ClassVar[str]

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Train as ``task`` says.

        Raises:
            ConfigError: the model is one of another task.
            TrainingError: ``NonFiniteLoss`` or ``OutOfMemory``.
        """
        from mnist_core import checkpoint, models, runtime
        from mnist_core.data.datasets import load
        from mnist_core.train import StopTraining, TrainingFailed, train

        config = self.config(task)
        if (does := models.task(config.model)) != self.TASK:
            raise ConfigError(
                f"model.name: the study's objective is {self.TASK}, but the task of"
                f" {config.model.name!r} is {does}"
            )
        data = load(config.data, runtime.resolve(config).device)

        reports = config.epochs * config.reports_per_epoch

        def pass_on(step: int, metrics: Mapping[str, float]) -> None:
            try:
                report(step, metrics)
            except StopTask:
                if step < reports:  # the last report comes when nothing is left to be saved
                    raise StopTraining from None

        try:
            result = train(config, data, pass_on)
        except TrainingFailed as error:
            raise TrainingError(error.kind, str(error)) from error
        if self.keep_models is not None and not result.stopped:
            checkpoint.save(
                self.keep_models / f"{task.number}.safetensors",
                result.model,
                result.config,
                n_classes=data.n_classes,
                metrics=result.metrics,
            )
        return Outcome(
            metrics=result.metrics, stopped=result.stopped, attributes=_attributes(result)
        )

    def config(self, task: Task) -> TrainConfig:
        """Return the configuration that ``task`` trains."""
        settings = {**self.space.settings(task.params), "seed": task.seed}
        return self.base.override(settings, source=f"trial {task.number}")


def _attributes(result: "TrainResult") -> dict[str, Any]:
    return {
        "device": result.config.device,
        "device_name": result.device_name,
        "precision": result.config.precision,
        "threads": result.config.threads,
        "n_parameters": result.n_parameters,
        "images": result.images,
        "train_seconds": result.train_seconds,
        "confusion": result.confusion,
    }
