"""What a model learns: ``classification`` or ``pairs``, a module each.

The trainer drives a ``Task`` only, so a new task is a new module with ``create`` and ``evaluate``.
"""

import contextlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mnist_core import models
from mnist_core.batches.batches import Stream
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device import runtime
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError, UserError
from mnist_core.evaluation.evaluation import Evaluation
from mnist_core.tasks.own_code import of_the_machine, own_error, said


class Task(ABC):
    """The batches of a training, its loss, and the evaluation of its model."""

    def __init__(self, config: TrainConfig, batches: Stream, runtime: Runtime) -> None:
        self._config, self._batches, self._runtime = config, batches, runtime
        self._right: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._batches)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch's batches, inputs and targets, on the device."""
        return self._batches.epoch()

    def parts(self) -> tuple[Tensor, ...]:
        """Draw the next epoch, on the device; return the indices that each batch takes."""
        return self._batches.parts()

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of one of the ``parts``."""
        return self._batches.batch(chosen)

    @property
    def changes(self) -> torch.Generator:
        """The random stream on the device from which a batch draws."""
        return self._batches.changes

    @abstractmethod
    def images(self) -> Iterator[Tensor]:
        """Yield some training images (all, if they are few) as the model takes them."""
        # For the statistics of averaged weights: not augmented, and no random stream moves.

    @abstractmethod
    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar; the forward pass runs in it."""

    @abstractmethod
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Judge ``model`` on the validation images, in evaluation mode."""

    def count_right(self) -> Tensor | None:
        """Have ``loss`` add the right answers of each batch to a counter, int64, and return that.

        None: the loss gives no answers.
        """
        self._right = torch.zeros((), dtype=torch.int64, device=self._runtime.device)
        return self._right

    def change(self, config: TrainConfig) -> None:
        """Continue with other settings of ``mnist_core.changes``, between two epochs."""
        if config.augment != self._config.augment:
            self._batches.change(config.augment)
        self._config = config

    def state(self) -> dict[str, Tensor]:
        """Return what the next batches depend on, at the end of an epoch."""
        return self._batches.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from a ``state``."""
        self._batches.load_state(state)


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` if a setting does not fit the model's task, e.g. its loss."""
    _module(config).check(config)


def create(config: TrainConfig, data: Data, runtime: Runtime) -> Task:
    """Return the task of a training of the resolved ``config``.

    Raises:
        ConfigError: if the data lies on another device, or is not as it is described; or as
            ``check_batches``.
    """
    rows, columns = data.train.images.shape[1:3]
    if (rows, columns) != data.about.shape[1:]:
        raise ConfigError(
            f"data.name: the model takes images of {data.about}, but those of {data.name!r} are"
            f" {rows}x{columns}; bring the files to that size"
        )
    if data.train.images.device != runtime.device:
        raise ConfigError(
            f"device: the data lies on {data.train.images.device}, but the training runs on"
            f" {runtime.device}; load the data there"
        )
    check_batches(config, data)
    task: Task = _module(config).create(config, data, runtime)
    return task


def check_batches(config: TrainConfig, data: Data) -> None:
    """Raise ``ConfigError`` if a batch norm gets one image: one value a channel has no variance."""
    n, size = _module(config).epoch_size(config, data), config.batch_size
    if size > 1 and n % size != 1:
        return
    pairs = models.task(config.model) == "pairs"
    with torch.device("meta"):
        model = models.build(config.model, data.n_classes, data.about)
        one = torch.empty(1, *models.input_shape(config.model, data.about))
    try:
        model(one)
    except ValueError as error:  # of a batch norm in training, which looks at the shape first
        if "more than 1 value" not in str(error):
            return  # an own model's mistake, which its first batch shows
        name = "pair" if pairs else "image"
        ends = f"{n:,} {name}s in batches of {size:,} leave one {name} for the last"
        raise ConfigError(
            f"batch_size: the batch norms of model {config.model.name!r} cannot learn from one"
            f" {name} alone, but {ends if size > 1 else 'got 1'}; take another batch_size of at"
            " least 2"
        ) from None


def take_one_batch(config: TrainConfig, data: Data) -> None:
    """Compute the loss of one small batch, so that errors of all trainings come before the first.

    Raises:
        ConfigError: if the model and the data do not fit together.
        DataError: if the images do not make what the task needs.
    """
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        task = create(config.model_copy(update={"batch_size": 8}), data, machine)
        model = machine.place(models.build(config.model, data.n_classes, data.about))
        batch = next(task.epoch())
        if models.task(config.model) == "classification":
            # Here and not in the loss: on a GPU a label of a missing class breaks the process.
            model.register_forward_hook(_check_output((len(batch[0]), data.n_classes), config))
        answered: list[bool] = []
        model.register_forward_hook(lambda *_: answered.append(True))
        try:
            loss = task.loss(model, *batch)
            _check_loss(loss, config)
            if not any(weight.requires_grad for weight in model.parameters()):
                raise ConfigError(f"model.name: {config.model.name!r} has no parameter to train")
            # No backward pass: in fp16 on a CPU that of ResNet-18 takes minutes.
            if not loss.requires_grad:
                raise ConfigError(
                    f"model.name: the answer of {config.model.name!r} does not depend on its"
                    " parameters"
                )
        except Exception as error:  # the model may be a user's own, whatever it raises
            if isinstance(error, UserError) or of_the_machine(error):
                raise
            if answered:
                what = f"loss.name: the loss cannot take the answer of {config.model.name!r}"
            else:
                what = f"model.name: {config.model.name!r} cannot take a batch"
            raise ConfigError(f"{what}: {said(error)}") from error
        check_batches(config, data)


@contextlib.contextmanager
def blamed_on_the_model(config: TrainConfig, data: Data) -> Iterator[None]:
    """Run a training; if it raises, say in one line whether the model or own code is the cause.

    Raises:
        ConfigError: if the model cannot take a batch, or code in a file of the user's own raised,
            e.g. a model after some steps. Other exceptions stay as they are.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, UserError) and not of_the_machine(error):
            take_one_batch(config, data)
            if (own := own_error(error)) is not None:
                raise ConfigError(own) from error
        raise


def _check_loss(loss: object, config: TrainConfig) -> None:
    if not isinstance(loss, Tensor) or loss.dim():
        got = f"a tensor {list(loss.shape)}" if isinstance(loss, Tensor) else f"{loss!r:.80}"
        raise ConfigError(
            f"loss.name: {config.loss.name!r} must return the mean of the batch, a tensor without"
            f" dimensions, but returned {got}"
        )


def _check_output(shape: tuple[int, ...], config: TrainConfig) -> Callable[..., None]:
    """Return a hook that raises ConfigError if a model's output is not one number a class."""

    def check(model: nn.Module, given: object, output: object) -> None:
        del model, given
        if isinstance(output, Tensor) and tuple(output.shape) == shape:
            return
        got = list(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise ConfigError(
            f"model.name: {config.model.name!r} must return one number a class, {list(shape)} of"
            f" {shape[0]} images, but returned {got}"
        )

    return check


def evaluate(
    model: nn.Module,
    split: Split,
    config: TrainConfig,
    *,
    runtime: Runtime,
    threshold: float | None = None,
) -> Evaluation:
    """Judge ``model`` on any split; its mode is restored afterwards.

    ``threshold`` is the score from which two images count as the same, as chosen on the validation
    images (their metric ``threshold``); None: the best on ``split`` itself.
    """
    judge = _module(config).evaluate
    evaluation: Evaluation = judge(model, split, config, runtime, threshold)
    return evaluation


def _module(config: TrainConfig) -> Any:
    return importlib.import_module(f"{__name__}.{models.task(config.model)}")
