"""What the tests of the kernels share."""

import pytest
import torch
from torch import Tensor

from mnist_core.kernels import torch_parts

BITS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
PALETTE = [0.0, -0.0, 1.0, -1.5, 3.3e38, -3.3e38, 1e-7, 1e-40, float("inf"), float("-inf")]


def numbers(seed: int, n: int, dtype: torch.dtype, nan: float = 0.0) -> Tensor:
    """Return random numbers, some of them unusual."""
    source = torch.Generator().manual_seed(seed)
    values = torch.randn(n, generator=source)
    special = torch.tensor(PALETTE)[torch.randint(len(PALETTE), (n,), generator=source)]
    values = torch.where(torch.rand(n, generator=source) < 0.2, special, values)
    values[torch.rand(n, generator=source) < nan] = float("nan")
    return values.to(dtype)


def assert_same_bits(ours: Tensor, theirs: Tensor) -> None:
    """Fail unless both are the same bit for bit, but for the bits of NaN, and lie alike."""
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert ours.stride() == theirs.stride()  # or the next layer may compute otherwise
    assert torch.equal(ours.isnan(), theirs.isnan())
    a, b = (
        one.where(~one.isnan(), 7.0).reshape(-1).view(BITS[one.dtype]) for one in (ours, theirs)
    )
    assert torch.equal(a, b)


def kernels_used(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows by each kernel that is run."""
    used: list[object] = []
    run = torch_parts.run
    monkeypatch.setattr(torch_parts, "run", lambda *a, **k: (used.append(a[0]), run(*a, **k))[1])
    return used
