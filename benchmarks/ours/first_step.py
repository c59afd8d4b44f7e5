"""Start ``mnist-core train`` on own images, and end after its first step with what it took.

    python benchmarks/ours/first_step.py PATH

Its last line is JSON: ``at``, the time.monotonic() after the step; ``cpu``, seconds of the
processor since the process began; ``memory``, the most that was resident, in GiB.
"""

import json
import os
import runpy
import sys
import time

from torch import Tensor

from mnist_core.trainer import training

MODEL = "flex_cnn"


class FirstStep(training.Training):
    """A training that tells what it took, and ends the process, after its first step."""

    def _step(self, group: list[Tensor]) -> None:
        super()._step(group)
        at, used = time.monotonic(), os.times()
        with open("/proc/self/status", encoding="ascii") as file:
            peak = next(line for line in file if line.startswith("VmHWM:"))
        found = {"at": at, "cpu": used.user + used.system, "memory": int(peak.split()[1]) / 2**20}
        print(json.dumps(found), flush=True)
        os._exit(0)


def main() -> None:
    """Run the command."""
    from mnist_core import train

    train.Training = FirstStep  # type: ignore[misc]
    sys.argv = ["mnist_core", "train", "--dataset", sys.argv[1], "--model", MODEL, "--no-save"]
    runpy.run_module("mnist_core", run_name="__main__")


if __name__ == "__main__":
    main()
