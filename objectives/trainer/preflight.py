"""The checks of the trainer before the first trial, in workers, which keep the data they load."""

import math
from collections.abc import Callable, Sequence

from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.errors import DataError
from objectives.preparation import Largest, Preparation


def prepare(
    configs: Sequence[TrainConfig],
    typical: Sequence[TrainConfig],
    *,
    most_parameters: float = math.inf,
    check: Callable[[TrainConfig], object] = lambda config: None,
) -> Preparation:
    """Check what would fail every trial, and measure the cost of a trial.

    Args:
        configs: one or more of each kind that will be trained; all with the same data.
        typical: one or more that are measured.
        most_parameters: models with more are not trained.
        check: of the objective; raises for what it does not train.

    Raises:
        UserError: if a model, device, data or setting cannot be used, or the test set could not be
            read at the end.
    """
    from mnist_core import models, tasks, train
    from mnist_core.data.datasets import load
    from mnist_core.device import runtime
    from mnist_core.finders import costs
    from mnist_core.optim import OPTIMIZERS

    resolved = [train.resolve(config) for config in configs]
    data = load(configs[0].data, runtime.resolve(configs[0]).device)
    if configs[0].data.test_set and data.test_problem:
        raise DataError(
            f"{data.test_problem}; a study reads it at the end: repair it, or leave it out:"
            " data.test_set=false"
        )
    # Each model with each loss once: settings of optimizers are checked without training.
    different = {(config.model, config.loss.name): config for config in resolved}
    for config in different.values():
        check(config)
        tasks.take_one_batch(config, data)
    # Optimizers differ too little to be worth a step each.
    measured = {_kind(config): train.resolve(config) for config in typical}
    found = {}
    for kind, config in measured.items():
        with tasks.blamed_on_the_model(config, data):
            found[kind] = costs.measure(config, data)
    # A step of one of the user's own shows whether its code works.
    tried = {config.optim.name for config in measured.values()} | set(OPTIMIZERS)
    own = {config.optim.name: config for config in resolved if config.optim.name not in tried}
    for config in own.values():
        with tasks.blamed_on_the_model(config, data):
            costs.measure(config, data)
    each = [found[_kind(config)] for config in typical]
    others = [
        after
        for before, after in zip(configs, resolved, strict=True)
        if _kind(before) not in measured
    ]
    # The largest model decides whether the study fits the machine, and how long it may take.
    sizes = {
        costs.forward_flops(config.model, data.n_classes, data.about): config
        for config in others
        if models.count_parameters(models.build(config.model, data.n_classes, data.about))
        <= most_parameters
    }
    memory = max(cost.memory for cost in each)
    largest = None
    if sizes and max(sizes) > max(cost.flops for cost in each):
        cost = costs.measure(sizes[max(sizes)], data)
        largest = Largest(seconds=cost.seconds, parameters=cost.parameters)
        memory = max(memory, cost.memory)
    return Preparation(
        fingerprint=data.fingerprint,
        train_fingerprint=data.train_fingerprint,
        seconds=tuple(cost.seconds for cost in each),
        parameters=tuple(cost.parameters for cost in each),
        flops=tuple(cost.flops for cost in each),
        epochs=tuple(cost.epochs for cost in each),
        memory=memory,
        others=bool(others),
        largest=largest,
    )


def _kind(config: TrainConfig) -> tuple[ModelConfig, str | None, int]:
    """Return what decides a training's time and memory."""
    return config.model, config.loss.name, config.batch_size
