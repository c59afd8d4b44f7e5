"""The formats a model can be exported to: how each is written and read again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Write(Protocol):
    """Writes ``network`` to ``path``."""

    def __call__(
        self, network: nn.Module, example: Tensor, path: Path, about: Mapping[str, str]
    ) -> None:
        """Write ``network``, which is in evaluation mode and on the CPU."""
        ...


@dataclass(frozen=True)
class Format:
    """One format."""

    suffix: str
    packages: tuple[str, ...]  # what it needs, beside what this package needs anyway
    write: Write
    # returns a file as a function of images, given the number of threads
    load: Callable[[Path, int], Callable[[Tensor], Tensor]]


def _any_batch() -> dict[str, Any]:
    return {"images": {0: torch.export.Dim("batch", min=1)}}


def write_onnx(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, str]) -> None:
    """Write an ONNX file with ``about`` as its metadata."""
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=_any_batch(),
        external_data=False,
        verbose=False,
    )
    assert program is not None  # it is, with dynamo
    # Every node comes with the Python stack of its making: folders of this machine.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.model.metadata_props.update(about)
    program.save(path, external_data=False)


def write_torch(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, str]) -> None:
    """Write a ``.pt2`` file with ``about`` as the extra file ``about.json``."""
    program = torch.export.export(network, (example,), dynamic_shapes=_any_batch())
    torch.export.save(program, path, extra_files={"about.json": json.dumps(dict(about))})


def load_onnx(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Return the file as a function, by ONNX Runtime on the CPU."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def load_torch(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Return the file as a function; it computes with the threads that torch is set to."""
    return torch.export.load(path).module()


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), write_onnx, load_onnx),
    "torch": Format(".pt2", (), write_torch, load_torch),
}
"""All formats by name."""
