"""What a device does at best, by which ``benchmarks/gpu.py`` judges the steps of a training.

    python benchmarks/ours/gpu_floors.py --device cuda

The last line of its output is JSON: ``launch``, seconds a kernel that does nearly nothing takes
when each waits for the one before (``graph``: started by a CUDA graph; ``eager``: one by one);
``bandwidth``, bytes/s that a copy reads and writes; ``peak``, FLOP/s of the fastest square matrix
product by precision. On a CPU an operation stands for a kernel.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

PRECISIONS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def wait(device: torch.device) -> None:
    """Wait until ``device`` has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best(work: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Return the shortest time of ``work``, seconds, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - begun)
    return min(found)


def launches(device: torch.device, *, kernels: int, repeats: int) -> dict[str, float]:
    """Return seconds a kernel, ``eager`` and on a GPU by a ``graph``."""
    one = torch.zeros(1, device=device)

    def chain() -> None:
        for _ in range(kernels):
            one.add_(1)

    found = {"eager": best(chain, device, repeats=repeats) / kernels}
    if device.type == "cuda":
        chain()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            chain()
        found["graph"] = best(graph.replay, device, repeats=repeats) / kernels
    return found


def bandwidth(device: torch.device, *, size: int, repeats: int) -> float:
    """Return bytes/s of a copy of ``size`` bytes, read and written."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / best(lambda: target.copy_(source), device, repeats=repeats)


def peak(device: torch.device, precision: str, *, n: int, repeats: int) -> float:
    """Return FLOP/s of a product of two random matrices ``[n, n]``."""
    dtype = PRECISIONS[precision]
    left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out: Tensor = torch.empty(n, n, dtype=dtype, device=device)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return 2 * n**3 / best(lambda: torch.mm(left, right, out=out), device, repeats=repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", default="fp32,tf32,bf16,fp16")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a CPU")
    args = parser.parse_args()
    device, repeats = torch.device(args.device), 3 if args.quick else 20
    size, n, kernels = (2**24, 256, 200) if args.quick else (2**32, 8192, 1000)
    found = {
        "launch": launches(device, kernels=kernels, repeats=repeats),
        "bandwidth": bandwidth(device, size=size, repeats=repeats),
        "peak": {
            precision: peak(device, precision, n=n, repeats=repeats)
            for precision in args.precisions.split(",")
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
