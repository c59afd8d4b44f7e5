"""Event files as TensorBoard reads them, written with TensorBoard's own package alone.

``torch.utils.tensorboard`` and tensorboardX do the same, but import torch, which takes seconds.
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnist_core.data.idx import UInt8Array

FLUSH_SECONDS = 5


class RunFile:
    """The event file of one run, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)

    def scalar(self, name: str, value: float, step: int, when: float) -> None:
        """Add a point to curve ``name``; ``when``: seconds after 1970."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._add(Summary.Value(tag=name, simple_value=value), step, when)

    def text(self, name: str, markdown: str, when: float) -> None:
        """Add a text for the TEXT page."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.plugins.text import metadata

        tensor = TensorProto(
            dtype="DT_STRING",
            string_val=[markdown.encode(errors="replace")],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        about = metadata.create_summary_metadata(display_name=None, description=None)
        self._add(Summary.Value(tag=name, metadata=about, tensor=tensor), 0, when)

    def image(self, name: str, picture: UInt8Array, when: float) -> None:
        """Add a picture, uint8 ``[rows, columns]``, for the IMAGES page."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        drawn = io.BytesIO()
        Image.fromarray(picture).save(drawn, format="PNG")
        image = Summary.Image(
            height=picture.shape[0],
            width=picture.shape[1],
            colorspace=1,
            encoded_image_string=drawn.getvalue(),
        )
        self._add(Summary.Value(tag=name, image=image), 0, when)

    def hyperparameters(
        self,
        values: Mapping[str, Any],
        *,
        columns: Mapping[str, Any],
        metrics: Iterable[str],
        began: float,
        ended: float,
    ) -> None:
        """Add a row of the HPARAMS page.

        Args:
            values: of the row, by column.
            columns: of the page, each with a value of its type.
            metrics: which curves' ends stand beside them.
            began: seconds after 1970.
            ended: likewise.
        """
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams.plugin_data_pb2 import (
            HParamsPluginData,
            SessionEndInfo,
            SessionStartInfo,
        )

        start = SessionStartInfo(start_time_secs=began)
        for name, value in values.items():
            as_column = value if _kind(value) == _kind(columns[name]) else str(value)
            setattr(start.hparams[name], _kind(as_column)[0], as_column)
        infos = [
            api_pb2.HParamInfo(name=name, type=_kind(value)[1]) for name, value in columns.items()
        ]
        shown = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics]
        experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=shown)
        end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=ended)
        self._plugin("experiment", HParamsPluginData(experiment=experiment), ended)
        self._plugin("session_start_info", HParamsPluginData(session_start_info=start), ended)
        self._plugin("session_end_info", HParamsPluginData(session_end_info=end), ended)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _plugin(self, name: str, data: Any, when: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata

        about = metadata.create_summary_metadata(data)
        value = Summary.Value(tag=f"_hparams_/{name}", metadata=about, tensor=metadata.NULL_TENSOR)
        self._add(value, 0, when)

    def _add(self, value: Any, step: int, when: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        event = Event(wall_time=when, step=step, summary=Summary(value=[value]))
        self._writer.add_event(event)


def _kind(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return "bool_value", "DATA_TYPE_BOOL"
    if isinstance(value, int | float):
        return "number_value", "DATA_TYPE_FLOAT64"
    return "string_value", "DATA_TYPE_STRING"
