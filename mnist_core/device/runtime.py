"""The machine under a training: device, precision, threads, memory allocator."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from mnist_core.config import TrainConfig
from mnist_core.console.plain_text import are, counted
from mnist_core.device import torch_internals
from mnist_core.errors import ConfigError, DeviceMissing
from mnist_core.kernels import choice

_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
}

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a training computes."""

    device: torch.device
    # ``bf16``, ``fp16``: activations of that type, weights fp32. ``tf32`` (CUDA): products with 10
    # bits of mantissa. ``fp64``: weights and activations.
    precision: str
    threads: int  # CPU threads of one operation

    @property
    def dtype(self) -> torch.dtype:
        """The type of activations."""
        return _DTYPES[self.precision]

    def autocast(self) -> torch.autocast:
        """Return the context in which a forward pass runs."""
        enabled = self.dtype in (torch.bfloat16, torch.float16)
        dtype = self.dtype if enabled else None
        return torch.autocast(self.device.type, dtype, enabled=enabled)

    def place(self, model: nn.Module) -> nn.Module:
        """Bring ``model`` to the device, in the layout and the weights' type of the computation."""
        weights = torch.float64 if self.dtype is torch.float64 else torch.float32
        return model.to(self.device, weights).to(memory_format=torch.channels_last)

    def widen(self, values: Tensor) -> Tensor:
        """Return ``values`` in the type in which losses are computed: fp32, or fp64."""
        return values if values.dtype is torch.float64 else values.float()

    @property
    def loss_dtype(self) -> torch.dtype:
        """The type in which losses are computed and added up."""
        return torch.float64 if self.dtype is torch.float64 else torch.float32

    def random_state(self) -> dict[str, Tensor]:
        """Return the states of torch's random generators that a training draws from."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def set_random_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a ``random_state``."""
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def own_random_state(self) -> AbstractContextManager[None]:
        """Return a context after which torch's random state is what it was before."""
        cuda = [self.device] if self.device.type == "cuda" else []
        return torch.random.fork_rng(devices=cuda)

    @property
    def device_name(self) -> str:
        """What the device is called by its maker, e.g. ``NVIDIA H200``."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return cpu_name()


def resolve(config: TrainConfig) -> Runtime:
    """Replace ``auto`` and 0 by what the machine has; raise ConfigError if something is missing."""
    choice.setting()
    precision = config.precision
    if why := why_no_tf32(config):
        raise ConfigError(
            f"precision: only an NVIDIA GPU computes tf32, but {why}; train on a GPU, or with"
            " device=cpu and precision=fp32, which rounds otherwise"
        )
    device = _device(config.device)
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device) else "fp32"
    return Runtime(device=device, precision=precision, threads=config.threads or default_threads())


def default_threads() -> int:
    """Return the CPU threads of a training that asks for none: OMP_NUM_THREADS, or all cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    cores = available_cores()
    return min(int(asked), cores) if asked.isdecimal() and int(asked[:9]) else cores


def why_no_tf32(config: TrainConfig) -> str:
    """Return why ``config`` asks for tf32 where it cannot be computed; "" if it does not."""
    if config.precision != "tf32":
        return ""
    if config.device == "cpu":
        return "device is cpu"
    return "" if torch.cuda.is_available() else "torch finds no GPU here"


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def session(runtime: Runtime, *, deterministic: bool) -> Iterator[None]:
    """Set torch up for one training and restore everything, its random state too, after it."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    try:
        if threads != runtime.threads:
            torch.set_num_threads(runtime.threads)
        with (
            _deterministic() if deterministic else nullcontext(),
            current(runtime.device),
            _tf32(runtime),
            runtime.own_random_state(),
        ):
            yield
    finally:
        torch.set_num_threads(threads)


def current(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which ``device`` is torch's current GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def _deterministic() -> Iterator[None]:
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    asked = os.environ.get(_CUBLAS)
    try:
        # cuBLAS reads this when it makes its first handle.
        os.environ.setdefault(_CUBLAS, ":4096:8")
        torch.use_deterministic_algorithms(True)  # imports torch's compiler, about a second
        yield
    finally:
        if asked is None:
            os.environ.pop(_CUBLAS, None)
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)


@contextmanager
def _tf32(runtime: Runtime) -> Iterator[None]:
    """Allow tf32 on a GPU if it was asked for; by default torch lets convolutions use it."""
    if runtime.device.type != "cuda":
        yield
        return
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, convolution.allow_tf32)
    try:
        matmul.allow_tf32 = convolution.allow_tf32 = runtime.precision == "tf32"
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def gradient_scaler(runtime: Runtime) -> torch.amp.GradScaler | None:
    """Return the scaler that keeps small gradients from vanishing in fp16; else None."""
    return torch.amp.GradScaler(runtime.device.type) if runtime.precision == "fp16" else None


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory; return whether it was done: only on glibc."""
    # A training frees and takes the same megabytes at every step; by default glibc maps and unmaps
    # them each time, and the page faults (some 900 a step for net at batch 64) cost about a quarter
    # of the time. See mallopt(3).
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    libc = ctypes.CDLL(None)
    largest = 2**31 - 1
    return all(
        libc.mallopt(option, value) == 1
        for option, value in (
            (mmap_threshold, 1 << 30),
            (trim_threshold, largest),
            (top_pad, 64 << 20),
        )
    )


@cache
def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if name == "auto":
            return torch.device("cpu")
        raise DeviceMissing(
            f"device: {name!r} was asked for, but torch finds no GPU; use cpu or auto"
        )
    # Compared as a number of our own: torch keeps 8 bits, and would take cuda:256 for cuda:0.
    index = int(name.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise DeviceMissing(
            f"device: {name!r} was asked for, but there {are(torch.cuda.device_count())}"
            f" {counted(torch.cuda.device_count(), 'GPU')}, "
            "counted from cuda:0"
        )
    return torch.device("cuda", index)


def _computes_bf16(device: torch.device) -> bool:
    """Return whether bf16 is fast on ``device``; elsewhere it is emulated and slow."""
    if device.type == "cuda":
        with current(device):  # torch asks the current GPU
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch_internals.cpu_has_bf16()
