"""A GPU that is not there: trainings on fake ``cuda`` tensors, which have shapes and devices only.

torch's ``FakeTensorMode`` runs every operation without its numbers. It refuses operations on mixed
devices; ``Watch`` notes those that make the host wait for the GPU. Private names of torch stand in
this module only. Not seen are the backward pass and cuDNN: without a driver autograd's engine does
not run on ``cuda``.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from graphs_on_cpu import Graph, torch_with
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mnist_core import models, optim
from mnist_core.batches import pair_batches as pairs_of_images
from mnist_core.batches.pair_batches import PairSampler
from mnist_core.config import TrainConfig
from mnist_core.data import Data, Split
from mnist_core.device import cuda_graph, torch_internals
from mnist_core.device.runtime import Runtime
from mnist_core.tasks import pairs
from mnist_core.trainer.training import Training

GPU = torch.device("cuda", 0)
SMALL = {"batch_size": 32, "pairs.per_epoch": 64, "device": "cuda:0"}
"""Two steps an epoch."""

_COPIES = ("aten::_to_copy", "aten::copy_")


@dataclass
class Watch(TorchDispatchMode):
    """Notes what makes the host wait for the GPU, by the names of the operations.

    Attributes:
        waits: in their order; clear it where waiting is allowed.
    """

    waits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        name = function.name().partition(".")[0]
        given = _devices((args, kwargs))
        if name == "aten::_local_scalar_dense":  # item(), float(), bool() …
            if "cuda" in given:
                self.waits.append(name)
            return 0.0 if "cuda" in given else 0.5  # no gradient overflowed; a share
        if name.startswith("aten::_fused_"):  # some have no fake kind
            _check(name, given)
            return None
        if name.startswith("aten::_foreach_"):  # a number may be the host's
            _check(name, _devices((args, kwargs), numbers=False))
        out = function(*args, **kwargs)
        if getattr(out, "constant", None) is not None:
            out.constant = None  # with known numbers torch would compute in earnest
        if name in _COPIES:
            # Both ways: a plain copy to the GPU ends with a wait for its stream, too.
            if len(given | _devices(out)) > 1:
                self.waits.append(name)
        elif "cuda" in given and "cpu" in _devices(out):
            self.waits.append(name)
        return out


def _devices(values: Any, *, numbers: bool = True) -> set[str]:
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    return {tensor.device.type for tensor in tensors if tensor.ndim or numbers}


def _check(name: str, devices: set[str]) -> None:
    if len(devices) > 1:
        raise RuntimeError(f"{name}: tensors on more than one device: {sorted(devices)}")


class FakeRuntime(Runtime):
    """A runtime on the fake GPU."""

    def place(self, model: nn.Module) -> nn.Module:
        """Bring ``model`` there; ``Module.to`` cannot move fake parameters."""
        weights = torch.float64 if self.dtype is torch.float64 else torch.float32
        for module in model.modules():
            for name, value in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(_placed(value, weights, self.device)))
            for name, value in module.named_buffers(recurse=False):
                kind = weights if value.is_floating_point() else value.dtype
                setattr(module, name, _placed(value, kind, self.device))
        return model


def _placed(value: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    made = torch.empty(value.shape, dtype=dtype, device=device)
    return made.to(memory_format=torch.channels_last) if made.ndim == 4 else made


def _like(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty(value.shape, dtype=value.dtype, device=GPU)


class _Generator(torch.Generator):
    """A random stream that says it is of any device; its numbers do not matter here."""

    device = property(lambda self: self._device)

    def __new__(cls, device: torch.device | str = "cpu") -> "_Generator":
        made = super().__new__(cls, "cpu")
        made._device = torch.device(device)
        return made

    def get_state(self) -> Tensor:
        return torch.empty(16, dtype=torch.uint8)

    def set_state(self, state: Tensor) -> None:
        assert state.device.type == "cpu"


@dataclass
class FakeGpu:
    """Makes trainings on the fake GPU.

    Attributes:
        watch: what made the host wait.
        replays: the graph that each started.
    """

    watch: Watch
    replays: list[object]
    _made: list[Training]

    def training(self, **changes: Any) -> Training:
        """Build the training of a configuration; keywords write ``__`` for a dot."""
        settings = {key.replace("__", "."): value for key, value in changes.items()}
        config = TrainConfig().override({**SMALL, **settings})
        config = config.model_copy(
            update={
                "model": models.resolve(config.model),
                "optim": optim.resolve(config.optim),
            }
        )
        machine = FakeRuntime(device=GPU, precision=config.precision, threads=1)
        self._made[:] = [Training(config, _data(), machine, keep_best=False, follow=False)]
        return self._made[0]


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Have a fake GPU within the context."""
    torch._C._ensureCUDADeviceGuardSet()
    torch_internals.unexpected()  # it keeps what it found with real tensors
    made: list[Training] = []
    sampler = vars(PairSampler(torch.arange(64) % 10))  # it looks at the labels' numbers

    def fake_sampler(labels: Tensor) -> PairSampler:
        found = PairSampler.__new__(PairSampler)
        vars(found).update({name: _like(value) for name, value in sampler.items()})
        return found

    def backward(loss: Tensor, *args: object, **kwargs: object) -> None:
        for parameter in made[0].parameters:
            parameter.grad = torch.empty_like(parameter)

    with ExitStack() as stack:
        # Made first: where there is a GPU it would set up CUDA.
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda **how: True)
        patch.setattr(torch.cuda, "get_rng_state", lambda device: torch.empty(16))
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)
        patch.setattr(torch, "set_rng_state", lambda state: None)
        # torch 2.11 asks the driver in both, as soon as is_available() says yes.
        patch.setattr(fake_tensor, "init_gpu_context", lambda device: None, raising=False)
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(Tensor, "backward", backward)
        patch.setattr(pairs_of_images, "PairSampler", fake_sampler)
        patch.setattr(pairs, "_fix", lambda split, config: None)
        stack.enter_context(mode)
        replays: list[object] = []

        class FakeGraph(Graph):
            def replay(self) -> None:
                replays.append(self)

        patch.setattr(cuda_graph, "torch", torch_with(FakeGraph))
        yield FakeGpu(stack.enter_context(Watch()), replays, made)


def _data() -> Data:
    def split(n: int) -> Split:
        images = torch.empty(n, 28, 28, dtype=torch.uint8, device=GPU)
        return Split(images, torch.empty(n, dtype=torch.int64, device=GPU))

    return Data(
        name="fake",
        train=split(64),
        validation=split(32),
        n_classes=10,
        sha256={},
        split_sha256="",
        fingerprint="fake",
    )
