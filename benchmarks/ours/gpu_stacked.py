"""Members of a stack against lone trainings and against processes that share the device.

    python benchmarks/ours/gpu_stacked.py --model net --members 1,3,8,32 --processes 1,4,8

Each line of its output is JSON, one a form, as soon as it is measured. ``form`` is ``stacked`` or
``in turn`` (the same trainings one after the other) with the number of ``members`` and the mean
``loss`` of their first steps, or ``processes`` with their number, each with one training, with and
without a CUDA ``graph``. ``rate`` is images/s of all trainings together. A form that the trainer
refuses has ``refused`` instead, one that raises ``failed``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from gpu_floors import wait
from gpu_steps import MANY, load_images

from mnist_core import train
from mnist_core.config import TrainConfig
from mnist_core.data import Data
from mnist_core.device import runtime
from mnist_core.errors import ConfigError
from mnist_core.stacked import gain
from mnist_core.trainer.training import Training

_STEPS, _ROUNDS = 10, 5
"""Steps of each training in a round; rounds, of which the median counts."""
_READY = "ready"


def stacked(
    config: TrainConfig, data: Data, members: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``members`` trainings in a stack, and one after the other."""
    few = gain.measure(config, data, members, steps=1, rounds=1)
    step = few.alone[0] + few.together[0]
    steps = max(1, min(_STEPS, int(seconds / step / _ROUNDS)))
    found = gain.measure(config, data, members, steps=steps, rounds=_ROUNDS)
    for form, times, loss in (
        ("in turn", found.alone, found.loss_alone),
        ("stacked", found.together, found.loss_together),
    ):
        rate = members * config.batch_size / statistics.median(times)
        yield {"form": form, "members": members, "graph": False, "rate": rate, "loss": loss}


def processes(command: list[str], count: int) -> float:
    """Return images/s of ``count`` processes that train at the same time."""
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for one in started:
            _expect(one, _READY)
        for one in started:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        return sum(float(_expect(one, "")) for one in started)
    finally:
        for one in started:
            one.kill()
            one.communicate()


def _expect(process: "subprocess.Popen[str]", line: str) -> str:
    assert process.stdout is not None
    came = process.stdout.readline().strip()
    if not came or (line and came != line):
        raise RuntimeError(f"a process ended, or said {came!r}")
    return came


def work(config: TrainConfig, data: Data, seconds: float) -> None:
    """Be one of the processes: train an epoch, say so, wait, train, print images/s."""
    machine = runtime.resolve(config)
    with runtime.session(machine, deterministic=config.deterministic):
        training = Training(config, data, machine, keep_best=False, follow=False)
        for _ in range(training.steps_per_epoch):  # algorithms are chosen, a graph is recorded
            training.own_step()
        wait(machine.device)
        print(_READY, flush=True)
        sys.stdin.readline()
        images, spent, begun = 0, 0.0, time.perf_counter()
        while spent < seconds:
            for _ in range(_STEPS):
                training.own_step()
            images += _STEPS * config.batch_size
            wait(machine.device)  # so that what is queued does not reach far beyond the end
            spent = time.perf_counter() - begun
        print(images / spent, flush=True)


def _sharing(args: argparse.Namespace, count: int, *, graph: bool) -> Iterator[dict[str, Any]]:
    """Yield the row of ``count`` processes."""
    _config(args, graph=graph)  # what the trainer refuses starts no process
    command = [sys.executable, *sys.argv, "--worker", *(["--graph"] if graph else [])]
    rate = processes(command, count)
    yield {"form": "processes", "members": count, "graph": graph, "rate": rate}


def _try_form(name: dict[str, Any], rows: Iterator[dict[str, Any]]) -> None:
    """Print the rows of a form, or what became of it."""
    try:
        for row in rows:
            print(json.dumps({**name, **row}), flush=True)
    except ConfigError as error:
        print(json.dumps({**name, "refused": str(error)}), flush=True)
    except RuntimeError as error:
        print(json.dumps({**name, "failed": str(error).partition("\n")[0]}), flush=True)


def _config(args: argparse.Namespace, *, graph: bool) -> TrainConfig:
    settings = {
        "data.name": "mnist-10pct",
        "model.name": args.model,
        "optim.name": "adam",
        "optim.lr": 1e-3,
        "batch_size": args.batch_size,
        "device": args.device,
        "precision": args.precision,
        "cuda_graph": graph,
        "epochs": MANY,
        **({"pairs.per_epoch": args.limit} if args.limit else {}),
    }
    return train.resolve(TrainConfig().override(settings))


def main() -> None:
    """Measure and print, form by form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="net")
    parser.add_argument("--members", default="1,3,8,32", help="of a stack, with commas")
    parser.add_argument("--processes", default="1,2,4,8", help="with commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=0, help="images, or pairs, an epoch; 0: all")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each form, about")
    parser.add_argument("--worker", action="store_true", help="be one of the processes")
    parser.add_argument("--graph", action="store_true", help="of a process")
    args = parser.parse_args()
    config = _config(args, graph=args.graph)
    data = load_images(config, args.limit)
    if args.worker:
        work(config, data, args.seconds)
        return
    for members in map(int, args.members.split(",")):
        name = {"model": args.model, "form": "stacked", "members": members, "graph": False}
        _try_form(name, stacked(config, data, members, args.seconds))
    for count in map(int, args.processes.split(",")):
        for graph in (False, True):
            name = {"model": args.model, "form": "processes", "members": count, "graph": graph}
            _try_form(name, _sharing(args, count, graph=graph))


if __name__ == "__main__":
    main()
