"""The random state and the flags of torch, which a process has once, for several trainings."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class ProcessState:
    """What one training sees of torch's random state and flags."""

    def __init__(self) -> None:
        """Begin with those of the process."""
        self._kept = _read()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Put this state in force, and keep what has become of it for the next time."""
        before = _read()
        _write(self._kept)
        try:
            yield
        finally:
            self._kept = _read()
            _write(before)


_State = tuple[Tensor, list[Tensor], tuple[bool, bool], tuple[bool, bool]]


def _read() -> _State:
    return (
        torch.get_rng_state(),
        torch.cuda.get_rng_state_all() if _uses_gpu() else [],
        (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
    )


def _write(state: _State) -> None:
    random, of_gpus, deterministic, tf32 = state
    torch.set_rng_state(random)
    if of_gpus:
        torch.cuda.set_rng_state_all(of_gpus)
    if deterministic != _read_deterministic():  # to set it imports torch's compiler
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def _read_deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _uses_gpu() -> bool:
    # Asked otherwise, torch would bring up the GPU in a process that trains on the CPU.
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
