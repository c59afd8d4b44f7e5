"""What the objectives of all tasks share: a trial's params become one training."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, DeviceMissing
from objectives.base import CHANGES, Outcome, Report, Task, TrainingError, WorkerUnfit
from objectives.base import StopTraining as StopTask
from search_spaces.space import Space

if TYPE_CHECKING:  # torch takes seconds to import, and the supervisor of a study needs none
    from mnist_core.data import Data
    from mnist_core.train import TrainResult
    from mnist_core.trainer.training import Steps


TOGETHER = "trained_together"
"""Attribute of a trial whose steps were those of several: its seconds are those of all."""

CONFIRM = "confirm_"
"""How the names of metrics begin that are measured on the confirm images."""


@dataclass(frozen=True)
class Training:
    """The objective of a study that trains models of one task."""

    base: TrainConfig  # the configuration that all trials share
    space: Space  # turns a trial's params into settings of the trainer
    # whether trained models are judged, once at their end, by the data set's confirm images
    confirms: bool = False
    # folder for the models of trials with a full budget, ``<number>.safetensors``
    keep_models: Path | None = None
    # folder for the states of running trainings, ``<number>.safetensors``: a trial that was lost
    # resumes from its own. The engine removes the state of a finished trial.
    states: Path | None = None
    # smallest time between two writings of a state, see ``mnist_core.train``
    state_seconds: float = 60.0
    # reports at which a state is written in any case: the training may be paused there
    state_reports: tuple[int, ...] = ()
    # who does the steps of the trainings, see ``mnist_core.stacked``; None: each its own
    steps: "Steps | None" = None
    TASK: ClassVar[str]  # what the models do; the names of the metrics depend on it

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Train as ``task`` says.

        Raises:
            ConfigError: if the model is one of another task.
            TrainingError: of the kind ``NonFiniteLoss`` or ``OutOfMemory``.
            WorkerUnfit: if the data cannot be brought to the device.
        """
        from mnist_core.checkpoints import checkpoint
        from mnist_core.tasks.own_code import own_error
        from mnist_core.train import StopTraining, TrainingFailed, resolve, train

        config = self.config(task)
        self.check(config)
        data = load_data(config)

        reports = config.epochs * config.reports_per_epoch

        def pass_on(step: int, metrics: Mapping[str, float]) -> None:
            try:
                report(step, metrics)
            except StopTask:
                if step < reports:  # the last report comes when nothing is left to be saved
                    raise StopTraining from None

        earlier = _Earlier()
        state = self.states / f"{task.number}.safetensors" if self.states is not None else None
        if state is not None:
            known = (data.fingerprint, data.train_fingerprint)
            earlier = _earlier(state, resolve(config), *known)
            # Those that the supervisor had not written down yet are lost; it knows the others.
            for step, metrics in earlier.reports:
                with contextlib.suppress(*([StopTask] if step >= reports else [])):
                    report(step, metrics)

        try:
            result = train(
                config,
                data,
                pass_on,
                state_file=state,
                keep_state=True,  # until the result is written down
                state_seconds=self.state_seconds,
                state_reports=self.state_reports,
                steps=self.steps,
            )
        except TrainingFailed as error:
            raise TrainingError(error.kind, str(error)) from error
        except Exception as error:  # own code may raise anything
            if (own := own_error(error)) is None:
                raise
            raise TrainingError(type(error).__name__, own) from error
        if self.keep_models is not None and not result.stopped:
            checkpoint.save(
                self.keep_models / f"{task.number}.safetensors",
                result.model,
                result.config,
                n_classes=data.n_classes,
                metrics=result.metrics,
                about=result.about,
                confirm_trial=task.number,
            )
        metrics, attributes = result.metrics, {**_attributes(result), **earlier.attributes}
        if self.steps is not None and self.steps.shared:
            attributes[TOGETHER] = True
        if self.confirms and not result.stopped:
            judged, answers = _judged(result, data.n_classes)
            metrics, attributes = {**metrics, **judged}, {**attributes, **answers}
        return Outcome(metrics=metrics, stopped=result.stopped, attributes=attributes)

    def with_steps(self, steps: "Steps") -> Self:
        """Return it with trainings whose steps ``steps`` does."""
        return replace(self, steps=steps)

    @classmethod
    def check(cls, config: TrainConfig) -> None:
        """Raise ``ConfigError`` unless ``config`` trains a model of this task."""
        from mnist_core import models

        if (does := models.task(config.model)) != cls.TASK:
            raise ConfigError(
                f"model.name: the study's objective is {cls.TASK}, but the task of"
                f" {config.model.name!r} is {does}"
            )

    def config(self, task: Task) -> TrainConfig:
        """Return the configuration that ``task`` trains."""
        settings = {**self.space.settings(task.params), "seed": task.seed}
        if CHANGES in task.params:
            settings["changes"] = task.params[CHANGES]
        return self.base.override(settings, source=f"trial {task.number}")


def load_data(config: TrainConfig) -> "Data":
    """Return the data of ``config`` on its device.

    Raises:
        DataError: if they are missing or damaged.
        WorkerUnfit: if the device is gone, taken by others or full: the study was checked on it.
    """
    from mnist_core.data.datasets import load
    from mnist_core.device import device_errors, runtime

    try:
        return load(config.data, runtime.resolve(config).device)
    except (RuntimeError, MemoryError, OSError, DeviceMissing) as error:
        if (
            isinstance(error, DeviceMissing)
            or device_errors.is_out_of_memory(error)
            or device_errors.is_gpu_failure(error)
        ):
            said = device_errors.first_line(error)
            raise WorkerUnfit(f"the data cannot be loaded on {config.device}: {said}") from error
        raise


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    reports: Sequence[tuple[int, Mapping[str, float]]] = ()
    # kept with the trial: the report it resumed from, or why its state is not used
    attributes: Mapping[str, Any] = field(default_factory=dict)


def _earlier(path: Path, config: TrainConfig, *data_fingerprints: str) -> _Earlier:
    """Read the state in ``path``; one that is damaged, or of another training, is removed."""
    from mnist_core.errors import CheckpointError
    from mnist_core.trainer import training_state

    try:
        state = training_state.read(path, config, *data_fingerprints)
        history = [] if state is None else state.values["history"]
        reports = [
            (int(e["step"]), {k: v for k, v in e.items() if k not in _OF_THE_CLOCK})
            for e in history
        ]
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        path.unlink(missing_ok=True)
        return _Earlier(attributes={"state_ignored": " ".join(str(error).split())})
    attributes = {"went_on_from_report": reports[-1][0]} if reports else {}
    return _Earlier(reports=reports, attributes=attributes)


def _judged(result: "TrainResult", n_classes: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Return what the confirm images say of a trained model, and which of them it got right.

    Without confirm images the metrics are those of the validation images.
    """
    from mnist_core.checkpoints import evaluate_checkpoint
    from mnist_core.evaluation.right_answers import NAME, RightAnswers
    from mnist_core.tasks.pair_metrics import PairEvaluation

    found = evaluate_checkpoint.judge_on_confirm_images(result, n_classes)
    of, evaluation = "validation images", result.evaluation
    metrics: dict[str, float] = {}
    if found is not None:
        of, evaluation = "confirm images", found
        metrics = {f"{CONFIRM}{name}": value for name, value in evaluation.metrics.items()}
    pairs = None
    if isinstance(evaluation, PairEvaluation):
        of, pairs = f"pairs of {of}", evaluation.pairs.numpy()
    answers = RightAnswers(of=of, right=evaluation.right.numpy(), pairs=pairs)
    return metrics, {NAME: answers.to_json()}


_OF_THE_CLOCK = ("step", "epoch", "seconds")


def _attributes(result: "TrainResult") -> dict[str, Any]:
    from mnist_core.evaluation import validation_summary, worst_pairs

    found: dict[str, Any] = {}
    if not result.stopped:  # who was stopped early is not looked at so closely
        summary = validation_summary.ValidationSummary.of(result.evaluation)
        found = {validation_summary.NAME: summary.to_json()}
    return {
        "device": result.config.device,
        "device_name": result.device_name,
        "precision": result.config.precision,
        "threads": result.config.threads,
        "n_parameters": result.n_parameters,
        "images": result.images,
        "train_seconds": result.train_seconds,
        "wall_seconds": result.history[-1]["seconds"],
        **worst_pairs.to_keep(result.confusion),
        **({"class_names": list(names)} if (names := result.about.class_names) else {}),
        **found,
    }
