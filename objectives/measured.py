"""What a trial costs, as metrics: parameters and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from objectives.base import Outcome, Report, Task
from objectives.training import Training, load_data

if TYPE_CHECKING:  # torch takes seconds to import
    from mnist_core.trainer.training import Steps

PARAMETERS, SECONDS = "parameters", "seconds"

MEASURES: Mapping[str, str] = {
    PARAMETERS: "trainable parameters of the model",
    SECONDS: "wall time of the whole training with its validations, over all its attempts",
}
"""Costs by the name of their metric."""

KNOWN_BEFORE = frozenset({PARAMETERS})  # costs that are known before the training


@dataclass(frozen=True)
class Measured:
    """A training whose reports have the metric ``parameters``, its outcome ``seconds`` as well."""

    training: Training
    # a model with more is not trained: the outcome is stopped, without a report, and says how many
    # there are. None: no limit.
    most_parameters: float | None = None

    def __call__(self, task: Task, report: Report) -> Outcome:
        """Train as ``task`` says, if the model is small enough; raises what the training raises."""
        parameters = float(self.count(task))
        if self.most_parameters is not None and parameters > self.most_parameters:
            return Outcome(metrics={PARAMETERS: parameters}, stopped=True)

        def pass_on(step: int, metrics: Mapping[str, float]) -> None:
            report(step, {**metrics, PARAMETERS: parameters})

        outcome = self.training(task, pass_on)
        costs = {PARAMETERS: parameters, SECONDS: outcome.attributes["wall_seconds"]}
        return replace(outcome, metrics={**outcome.metrics, **costs})

    def with_steps(self, steps: "Steps") -> Self:
        """Return it with trainings whose steps ``steps`` does."""
        return replace(self, training=self.training.with_steps(steps))

    def count(self, task: Task) -> int:
        """Return the number of the model's parameters; raise ConfigError if it cannot be built."""
        import torch

        from mnist_core import models

        config = self.training.config(task)
        data = load_data(config)
        with torch.device("meta"):  # no memory, no random numbers
            model = models.build(config.model, data.n_classes, data.about)
            return models.count_parameters(model)
