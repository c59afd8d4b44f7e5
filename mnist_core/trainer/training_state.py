"""The state of a training at a report, in one safetensors file, for an exact resume.

Weights, optimizer, average and random generators are tensors; the rest is JSON in the header.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from mnist_core import changes, files, parsing
from mnist_core.config import TrainConfig
from mnist_core.errors import CheckpointError
from mnist_core.table import difference

_ELSEWHERE = ("device", "threads")  # settings that say where a training runs
DEAREST = 0.02  # largest fraction of the time that writing states may take


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """A training at one of its reports."""

    tensors: Mapping[str, Mapping[str, Tensor]]  # by group (``model``, ``optimizer``, …) and name
    values: Mapping[str, Any]


class CheckpointTimer:
    """When a training's state is worth its writing.

    ``seconds`` are between two writings, and before the first; 0: whenever there is a chance. At
    ``reports`` it is written in any case.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        reports: Collection[int] = (),
    ) -> None:
        self._seconds, self._reports, self._clock = seconds, reports, clock
        self._next = clock() + seconds

    def due(self, report: int = 0) -> bool:
        """Return whether to write now, at ``report``."""
        return report in self._reports or self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the writing inside; the more it costs, the later the next one."""
        began = self._clock()
        yield
        now = self._clock()
        wait = max(self._seconds, (now - began) / DEAREST) if self._seconds else 0.0
        self._next = now + wait


def write(path: Path, state: TrainingState, config: TrainConfig, data_fingerprint: str) -> None:
    """Write ``state``, whole or not at all; raise ``UserError`` if it cannot be written."""
    header = {
        "config": json.dumps(config.to_dict()),
        "data": data_fingerprint,
        "values": json.dumps(state.values),
    }
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, named in state.tensors.items()
        for name, value in named.items()
    }
    files.write_atomically(path, serialise(flat, metadata=header))


def read(path: Path, config: TrainConfig, *data_fingerprints: str) -> TrainingState | None:
    """Return the state in ``path`` of a training by ``config``; None if there is no such file.

    Raises:
        CheckpointError: if it is damaged, or of another training; the message names the difference.
    """
    if not path.exists():
        return None
    tensors: dict[str, dict[str, Tensor]] = {}
    try:
        files.check_regular(path)
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118 - not a mapping
                group, _, name = key.partition("/")
                tensors.setdefault(group, {})[name] = file.get_tensor(key)
        theirs = parsing.json_text(header["config"])
        values = parsing.json_text(header["values"])
        data = header["data"]
        epochs = values["history"][-1]["epoch"]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot read the training's state: {error}") from None
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: is not the state of a training: {error}") from None
    own = config.to_dict()
    # Later changes of settings do not matter, nor whether there is a test set.
    for settings in (theirs, own):
        settings.get("data", {}).pop("test_set", None)
    seen = [changes.so_far(settings, epochs) for settings in (theirs, own)]
    found = [
        f"{name}: {before} -> {now}"
        for name, before, now in difference(seen[0], seen[1])
        if name not in _ELSEWHERE
    ]
    if data not in data_fingerprints:
        found = [f"data: {data} -> {data_fingerprints[0]}"]
    if found:
        raise CheckpointError(
            f"{path}: is the state of another training ({found[0]}); delete it to start again"
        )
    return TrainingState(tensors=tensors, values=values)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state by ``<parameter>.<name>``."""
    return {
        f"{index}.{name}": value
        for index, of_parameter in optimizer.state_dict()["state"].items()
        for name, value in of_parameter.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put ``optimizer_tensors`` back."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    entries = [(*key.partition(".")[::2], value) for key, value in tensors.items()]
    # A parameter may be a number itself, so numbers of the optimizer are told by the others.
    numbers = {n for i, n, value in entries if value.ndim == 0 < parameters[int(i)].ndim}
    for index, name, value in entries:
        parameter = parameters[int(index)]
        if name not in numbers and value.shape == parameter.shape:
            # A fused step walks through memory, so the layout must be the parameter's.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    # torch gives every tensor the type and device of its parameter. A number, such as nadam's
    # product of momenta, is fp32 and read by the host at each step: on a GPU that waits for it.
    for number, named in state.items():
        loaded: dict[str, Tensor] = optimizer.state[parameters[number]]
        for name, value in named.items():
            stays = name in numbers and name != "step"  # torch knows where the steps are counted
            loaded[name] = value if stays else loaded[name].to(value.dtype)
