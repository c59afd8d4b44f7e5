"""Steps of models on one device, by precision, with and without a CUDA graph.

    python benchmarks/ours/gpu_steps.py --models net --device cuda

Each line of its output is JSON, one a form, as soon as it is measured: ``step``, median seconds of
a step within an epoch, from a device that waits to one that waits again; ``host``, the same until
the host has started everything; ``first``, seconds of the first epoch, in which algorithms are
chosen and a graph is recorded; ``loss`` of that epoch; ``images`` a step. A form that the trainer
refuses has ``refused`` instead, one that raises ``failed``. Lines with ``work`` say what one step
without a graph asks for.
"""

import argparse
import dataclasses
import json
import statistics
import time
from typing import Any

from gpu_floors import wait
from step_work import Work, kernels

from mnist_core import train
from mnist_core.checkpoints.summary import summarise
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split, load
from mnist_core.device import runtime
from mnist_core.errors import ConfigError
from mnist_core.trainer.training import Training

MANY = 1000
"""Epochs of which some are measured: more than there is time for."""


class Steps:
    """A training whose epochs are run one by one, without validation."""

    def __init__(self, config: TrainConfig, data: Data) -> None:
        self.machine = runtime.resolve(config)
        self._training = Training(config, data, self.machine, keep_best=False, follow=False)

    @property
    def loss(self) -> float:
        """Mean loss of everything so far."""
        return float(self._training.loss_sum) / self._training.images

    def epoch(self) -> tuple[float, float, int]:
        """Run an epoch: seconds until the host is through, until the device is, and steps."""
        before, device = self._training.step, self.machine.device
        wait(device)
        begun = time.perf_counter()
        for group in self._training._rest_of_epoch():
            self._training._step(group)
        host = time.perf_counter() - begun
        wait(device)
        return host, time.perf_counter() - begun, self._training.step - before

    def work(self) -> dict[str, Any]:
        """Return what the second step of the epoch asks for."""
        groups = self._training._rest_of_epoch()
        self._training._step(next(groups))
        with Work() as work:
            self._training._step(next(groups))
        started = kernels(lambda: self._training._step(next(groups)), self.machine.device)
        return {"operations": work.operations, "bytes": work.bytes, "kernels": started}


def measure_form(config: TrainConfig, data: Data, seconds: float) -> dict[str, Any]:
    """Return the figures of one form; measure for ``seconds``, at least one epoch."""
    with runtime.session(runtime.resolve(config), deterministic=False):
        steps = Steps(config, data)
        _, first, _ = steps.epoch()
        loss = steps.loss
        found = []
        end = time.perf_counter() + seconds
        while not found or (time.perf_counter() < end and len(found) < MANY - 1):
            found.append(steps.epoch())
    return {
        "step": statistics.median(whole / n for _, whole, n in found),
        "host": statistics.median(host / n for host, _, n in found),
        "epochs": len(found),
        "first": first,
        "loss": loss,
        "images": config.batch_size,
    }


def work_of(config: TrainConfig, data: Data) -> dict[str, Any]:
    """Return what one step asks for, its arithmetic included."""
    with runtime.session(runtime.resolve(config), deterministic=False):
        work = Steps(config, data).work()
    return {**work, "flops": 3 * config.batch_size * summarise(config.model).flops}


def load_images(config: TrainConfig, limit: int) -> Data:
    """Return the data on the device, with ``limit`` training images; 0: all."""
    data = load(config.data, runtime.resolve(config).device)
    if not limit:
        return data
    train_images = Split(data.train.images[:limit], data.train.labels[:limit])
    return dataclasses.replace(data, train=train_images)


def main() -> None:
    """Measure and print, form by form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="net", help="with commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", default="bf16,fp32,tf32,fp16")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=0, help="images, or pairs, an epoch; 0: all")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each form")
    args = parser.parse_args()
    for model in args.models.split(","):
        whole = TrainConfig().override(
            {
                "data.name": "mnist-10pct",
                "model.name": model,
                "optim.name": "adam",
                "optim.lr": 1e-3,
                "batch_size": args.batch_size,
                "device": args.device,
                "epochs": MANY,
                **({"pairs.per_epoch": args.limit} if args.limit else {}),
            }
        )
        data = load_images(whole, args.limit)
        for precision in args.precisions.split(","):
            for graph in (False, True):
                _try_form(whole, data, args.seconds, precision=precision, graph=graph)


def _try_form(
    whole: TrainConfig, data: Data, seconds: float, *, precision: str, graph: bool
) -> None:
    """Measure one form and print it; without a graph print its work first."""
    row: dict[str, Any] = {"model": whole.model.name, "precision": precision, "graph": graph}
    try:
        config = train.resolve(whole.override({"precision": precision, "cuda_graph": graph}))
        if not graph:
            print(json.dumps({**row, "work": work_of(config, data)}), flush=True)
        row |= measure_form(config, data, seconds)
    except ConfigError as error:
        row["refused"] = str(error)
    except RuntimeError as error:
        row["failed"] = str(error).partition("\n")[0]
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
