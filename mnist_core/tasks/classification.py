"""Images in, one of ``n_classes`` out."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from mnist_core import evaluate as evaluation
from mnist_core.batches import Batches
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.errors import ConfigError
from mnist_core.evaluate import Evaluation
from mnist_core.runtime import Runtime

LOSSES = ("cross_entropy",)


def check(config: TrainConfig) -> None:
    """Raise ``ConfigError`` for a loss of another task."""
    if config.loss.name not in (None, *LOSSES):
        raise ConfigError(
            f"loss.name: {config.loss.name!r} compares images, but model {config.model.name!r}"
            f" classifies them; use {' or '.join(LOSSES)}"
        )


def create(config: TrainConfig, data: Data, runtime: Runtime) -> "Classification":
    """Return the task."""
    return Classification(config, data, runtime)


def evaluate(
    model: nn.Module,
    split: Split,
    config: TrainConfig,
    *,
    n_classes: int,
    runtime: Runtime,
    threshold: float | None = None,
) -> Evaluation:
    """Judge ``model`` on ``split``; a threshold means nothing here."""
    return evaluation.evaluate(model, split, n_classes=n_classes, runtime=runtime)


class Classification:
    """The task of one training."""

    def __init__(self, config: TrainConfig, data: Data, runtime: Runtime) -> None:
        self._config = config
        self._data = data
        self._runtime = runtime
        self._batches = Batches(
            data.train,
            config.batch_size,
            seed=config.seed,
            augmentation=config.augment,
            dtype=runtime.dtype,
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._batches)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images ``[B, 1, rows, columns]`` and labels ``[B]``."""
        return self._batches.epoch()

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the batch, nats an image."""
        with self._runtime.autocast():
            logits = model(inputs)
        return functional.cross_entropy(
            logits.float(), targets, label_smoothing=self._config.label_smoothing
        )

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Judge ``model`` on the validation images."""
        return evaluate(
            model,
            self._data.validation,
            self._config,
            n_classes=self._data.n_classes,
            runtime=self._runtime,
        )

    def state(self) -> dict[str, Tensor]:
        """Return the states of the random streams."""
        return self._batches.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a ``state``."""
        self._batches.load_state(state)
