"""Event files written with parts of TensorBoard that it does not document: only this module may.

``torch.utils.tensorboard`` is the public way, but it imports torch, which takes seconds. It takes
over, and one line in the log says so, where these parts are not as expected.
"""

import functools
import io
import json
import logging
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mnist_core.data.idx import UInt8Array

FLUSH_SECONDS = 5
_log = logging.getLogger(__name__)

_NEEDED = {
    "summary.writer.event_file_writer": ("EventFileWriter",),
    "compat.proto.event_pb2": ("Event",),
    "compat.proto.summary_pb2": ("Summary",),
    "compat.proto.tensor_pb2": ("TensorProto",),
    "compat.proto.tensor_shape_pb2": ("TensorShapeProto",),
    "plugins.text.metadata": ("create_summary_metadata",),
    "plugins.hparams.metadata": ("create_summary_metadata", "NULL_TENSOR"),
    "plugins.hparams.api_pb2": ("Experiment", "HParamInfo", "MetricInfo", "MetricName"),
    "plugins.hparams.plugin_data_pb2": (
        "HParamsPluginData",
        "SessionStartInfo",
        "SessionEndInfo",
    ),
}


class RunFile:
    """The event file of one run in ``folder``. Times are seconds after 1970."""

    def __init__(self, folder: Path, parts: Mapping[str, Any]) -> None:
        self._parts = parts
        files = parts["summary.writer.event_file_writer"]
        self._writer = files.EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
        self._summary = parts["compat.proto.summary_pb2"].Summary
        self.close = self._writer.close

    def scalar(self, name: str, value: float, step: int, when: float) -> None:
        """Add a point to curve ``name``."""
        self._add(when, step, tag=name, simple_value=value)

    def text(self, name: str, markdown: str, when: float) -> None:
        """Add a text for the TEXT page."""
        shape = self._parts["compat.proto.tensor_shape_pb2"].TensorShapeProto
        tensor = self._parts["compat.proto.tensor_pb2"].TensorProto(
            dtype="DT_STRING",
            string_val=[markdown.encode(errors="replace")],
            tensor_shape=shape(dim=[shape.Dim(size=1)]),
        )
        metadata = self._parts["plugins.text.metadata"]
        about = metadata.create_summary_metadata(display_name=None, description=None)
        self._add(when, tag=name, metadata=about, tensor=tensor)

    def image(self, name: str, picture: UInt8Array, when: float) -> None:
        """Add a picture, uint8 ``[rows, columns]``, for the IMAGES page."""
        from PIL import Image

        drawn = io.BytesIO()
        Image.fromarray(picture).save(drawn, format="PNG")
        height, width = picture.shape
        image = self._summary.Image(
            height=height, width=width, colorspace=1, encoded_image_string=drawn.getvalue()
        )
        self._add(when, tag=name, image=image)

    def hyperparameters(
        self,
        values: Mapping[str, Any],
        *,
        began: float,
        ended: float,
        columns: Mapping[str, Any] | None = None,
        metrics: Iterable[str] = (),
    ) -> None:
        """Add a row of the HPARAMS page, whose ``columns`` have a value of their type each.

        ``metrics`` are the curves whose last values stand beside the row. Without ``columns``
        TensorBoard makes them, and the metrics, of all runs that it finds.
        """
        api = self._parts["plugins.hparams.api_pb2"]
        data = self._parts["plugins.hparams.plugin_data_pb2"]
        start = data.SessionStartInfo(start_time_secs=began)
        for name, value in values.items():
            like = value if columns is None else columns[name]
            as_column = value if _kind(value) == _kind(like) else str(value)
            setattr(start.hparams[name], _kind(as_column)[0], as_column)
        end = data.SessionEndInfo(status=api.STATUS_SUCCESS, end_time_secs=ended)
        parts = {"session_start_info": start, "session_end_info": end}
        if columns is not None:
            infos = [api.HParamInfo(name=n, type=_kind(v)[1]) for n, v in columns.items()]
            wanted = [api.MetricInfo(name=api.MetricName(tag=name)) for name in metrics]
            parts["experiment"] = api.Experiment(hparam_infos=infos, metric_infos=wanted)
        metadata = self._parts["plugins.hparams.metadata"]
        for name, part in parts.items():
            about = metadata.create_summary_metadata(data.HParamsPluginData(**{name: part}))
            tag = f"_hparams_/{name}"
            self._add(ended, tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)

    def _add(self, when: float, step: int = 0, **value: Any) -> None:
        summary = self._summary(value=[self._summary.Value(**value)])
        event = self._parts["compat.proto.event_pb2"].Event
        self._writer.add_event(event(wall_time=when, step=step, summary=summary))


class _PublicRun(RunFile):
    """Hyperparameters have the time of writing, and no curves beside them."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), flush_secs=FLUSH_SECONDS)
        self.close = self._writer.close

    def scalar(self, name: str, value: float, step: int, when: float) -> None:
        self._writer.add_scalar(name, value, step, when)

    def text(self, name: str, markdown: str, when: float) -> None:
        self._writer.add_text(name, markdown, 0, when)

    def image(self, name: str, picture: UInt8Array, when: float) -> None:
        self._writer.add_image(name, picture, 0, when, dataformats="HW")

    def hyperparameters(self, values: Mapping[str, Any], **_: Any) -> None:
        self._writer.add_hparams(dict(values), {}, run_name=".")


def plain(value: Any) -> Any:
    """Return a hyperparameter as one that TensorBoard takes: anything else as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def as_code(value: Any) -> str:
    """Return ``value`` as JSON in a block of Markdown."""
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1).splitlines())


def open_run(folder: Path) -> RunFile:
    """Return the event file of a run in ``folder``."""
    parts = _parts()
    return _PublicRun(folder) if parts is None else RunFile(folder, parts)


@functools.cache
def _parts() -> dict[str, Any] | None:
    """Return the needed modules by their last name; None: one lacks something."""
    found: dict[str, Any] = {}
    try:
        for module, names in _NEEDED.items():
            found[module] = import_module(f"tensorboard.{module}")
            for name in names:
                getattr(found[module], name)
    except (ImportError, AttributeError) as error:
        _log.warning(
            "this version of TensorBoard is not one that this program knows (%s);"
            " torch.utils.tensorboard writes the files, which takes longer to start",
            error,
        )
        return None
    return found


def _kind(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return "bool_value", "DATA_TYPE_BOOL"
    if isinstance(value, int | float):
        return "number_value", "DATA_TYPE_FLOAT64"
    return "string_value", "DATA_TYPE_STRING"
