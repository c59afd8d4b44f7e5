"""What this machine can do at best: its fastest square matrix product, in GFLOP/s.

    python benchmarks/ours/peak.py

The last line of its output is the result as JSON: ``fp32`` and ``bf16`` in GFLOP/s with all cores,
and the floating-point operations of one image's forward pass for each model.
"""

import json
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from mnist_core import models, runtime
from mnist_core.config import ModelConfig


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


def forward_flops(name: str) -> float:
    """Return the operations of one image's forward pass, as torch counts them."""
    model = models.build(ModelConfig(name=name), 10)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(64, 1, 28, 28))
    return counter.get_total_flops() / 64


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
                "flops": {name: forward_flops(name) for name in models.names()},
            }
        )
    )


if __name__ == "__main__":
    main()
