"""What this machine can do at best: its fastest square matrix product, in GFLOP/s.

    python benchmarks/ours/peak.py

The last line of its output is the result as JSON: ``fp32`` and ``bf16`` in GFLOP/s with all cores,
and the floating-point operations of the forward pass of one image or pair for each model.
"""

import json
import time

import torch

from mnist_core import models
from mnist_core.checkpoints.summary import summarise
from mnist_core.config import ModelConfig
from mnist_core.device import runtime


def gemm_peak(dtype: torch.dtype, *, seconds: float = 3.0) -> float:
    """Return the best GFLOP/s of ``n x n @ n x n`` over several n, tried for ``seconds``."""
    best = 0.0
    for n in (1024, 2048, 3072):
        left, right = (torch.randn(n, n).to(dtype) for _ in range(2))
        out = torch.empty(n, n, dtype=dtype)
        torch.mm(left, right, out=out)
        end = time.perf_counter() + seconds / 3
        while (begun := time.perf_counter()) < end:
            torch.mm(left, right, out=out)
            best = max(best, 2 * n**3 / (time.perf_counter() - begun) / 1e9)
    return best


def main() -> None:
    """Print what was measured."""
    threads = runtime.available_cores()
    torch.set_num_threads(threads)
    print(
        json.dumps(
            {
                "cpu": runtime.cpu_name(),
                "capability": torch.backends.cpu.get_cpu_capability(),
                "threads": threads,
                "fp32": gemm_peak(torch.float32),
                "bf16": gemm_peak(torch.bfloat16),
                "flops": {name: summarise(ModelConfig(name=name)).flops for name in models.names()},
            }
        )
    )


if __name__ == "__main__":
    main()
