"""What each part of our machine code saves of a training step on the CPU, in one process.

    python benchmarks/steps.py                        # cnn and net, one thread: some 8 minutes
    python benchmarks/steps.py --models cnn --parts dropout --steps 400

Two trainings of the same configuration take turns, step by step: one without the part, one with
it. Weights and losses must be equal to the last bit: the program ends with an error if not. Times
are given early and late in the training, as denormal numbers come after some 900 steps only.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import measure

VARIABLE = "MNIST_STUDIES_KERNELS"
EARLY = (100, 800)
LATE = 1000


def main() -> None:
    """Measure and print; with --record append to RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["cnn", "net"])
    parser.add_argument("--threads", nargs="*", type=int, default=[1])
    parser.add_argument("--parts", nargs="*", default=[*PARTS], choices=[*PARTS])
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    rows = []
    for model in args.models:
        for threads in args.threads:
            for part in args.parts:
                measure.say(f"{model}, {threads} threads, without {part}")
                rows.append(compare(model, threads, part, args.steps))
    header = ["training", "part", "early, without, ms", "with", "x", "late, without", "with", "x"]
    text = "\n\n".join([measure.environment(measure.cpu_name()), measure.table(header, rows)])
    text += "\n\nWeights and losses were equal to the last bit."
    print(text)
    if args.record:
        measure.record("parts of a training step", text)


@dataclass
class Side:
    """One of the two trainings."""

    without: Callable[[], AbstractContextManager[object]]
    training: Any
    random: Any
    seconds: list[float] = field(default_factory=list)

    def step(self, chosen: Any) -> None:
        """Do a step with the random numbers of this side."""
        import torch

        torch.set_rng_state(self.random)
        with self.without():
            start = time.perf_counter()
            self.training._step([chosen])
            self.seconds.append(time.perf_counter() - start)
        self.training.step = 0  # the schedule has no end here
        self.random = torch.get_rng_state()


def compare(model: str, threads: int, part: str, steps: int) -> list[str]:
    """Return the row of a part."""
    import torch

    from mnist_core.config import TrainConfig
    from mnist_core.data import datasets
    from mnist_core.device import runtime
    from mnist_core.train import resolve
    from mnist_core.trainer.training import Training

    pairs = model.startswith("siamese")
    settings = {"model": {"name": model}, "threads": threads, "batch_size": 256 if pairs else 64}
    config = resolve(TrainConfig.model_validate(settings))
    machine = runtime.resolve(config)
    data = datasets.load(config.data)
    with runtime.session(machine, deterministic=config.deterministic):
        sides = []
        for without in (PARTS[part], nullcontext):
            with without():
                training = Training(config, data, machine, keep_best=False, follow=False)
            sides.append(Side(without, training, torch.get_rng_state()))
        for number, batches in enumerate(_batches(sides, steps)):
            turns = [*zip(sides, batches, strict=True)]
            for side, chosen in turns if number % 2 else turns[::-1]:
                side.step(chosen)
    _check(sides, f"{model}, {threads} threads, {part}")
    times = [text for period in (EARLY, (LATE, steps)) for text in _times(sides, *period)]
    return [f"{model}, {threads} threads", part, *times]


def _batches(sides: list[Side], steps: int) -> Iterator[tuple[Any, ...]]:
    done = 0
    while done < steps:
        for batches in zip(*(side.training.task.parts() for side in sides), strict=True):
            yield batches
            done += 1
            if done == steps:
                return


def _check(sides: list[Side], what: str) -> None:
    import torch

    one, other = (side.training for side in sides)
    states = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    if not all(torch.equal(a, b) for a, b in states) or one.loss_sum != other.loss_sum:
        sys.exit(f"error: {what}: the two trainings differ")


def _times(sides: list[Side], start: int, stop: int) -> list[str]:
    without, with_part = (side.seconds[start:stop] for side in sides)
    if not without:
        return ["", "", ""]
    medians = [1e3 * measure.Spread(tuple(one)).median for one in (without, with_part)]
    ratios = measure.Spread(tuple(a / b for a, b in zip(without, with_part, strict=True)))
    return [*(f"{one:.2f}" for one in medians), f"{ratios.median:.3f}"]


@contextmanager
def _environment() -> Iterator[None]:
    with patch.dict(os.environ, {VARIABLE: "torch"}):
        yield


def _never(module: str, name: str) -> Callable[[], AbstractContextManager[object]]:
    return lambda: patch(f"mnist_core.kernels.{module}.{name}", lambda *_, **__: False)


PARTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "dropout": _never("dropout", "takes"),
    "relu": _never("relu", "takes"),
    "adam": _never("adam", "keeps"),
    "denormals": lambda: patch("mnist_core.kernels.denormals.flushed", nullcontext),
    "pooling": _never("max_pool", "takes"),
    "all but denormals": _environment,
}
"""What leaves a part to torch."""


if __name__ == "__main__":
    main()
