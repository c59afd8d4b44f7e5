"""TensorBoard: what was written is read back by TensorBoard itself."""

import dataclasses
import io

import matplotlib.image
import numpy as np
import pytest
from hparams_page import hparams
from made_log import ABOUT, BEGAN, CAPTIONS, IMAGES, OVER, begin, track, trial, whole, write
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.api_pb2 import DATA_TYPE_FLOAT64, DATA_TYPE_STRING


def read(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_a_study_comes_back(tmp_path):
    write(tmp_path, whole())
    said, complete = track("tensorboard", tmp_path)
    assert complete and said == [f"tensorboard --logdir {tmp_path / 'tensorboard'}"]
    folders = {path.name for path in (tmp_path / "tensorboard").iterdir()}
    assert folders == {
        "study",
        *(f"search {number} adam" for number in range(4)),
        "confirm adam seed 1 (0)",
        "test adam seed 1 (0)",
    }

    first = read(tmp_path / "tensorboard" / "search 0 adam")
    points = first.Scalars("val_accuracy")
    assert [point.step for point in points] == [1, 2, 3]
    assert [point.value for point in points] == pytest.approx([0.8, 0.85, 0.9 - 0.1 / 3])
    assert [point.wall_time for point in points] == pytest.approx([BEGAN + n for n in (1, 2, 3)])
    assert [p.value for p in first.Scalars("end/val_accuracy")] == pytest.approx([0.9 - 0.1 / 3])
    content = first.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["optim.name"].string_value == "adam"
    assert values["optim.lr"].number_value == pytest.approx(0.01)
    assert values["state"].string_value == "complete"

    for folder in (path for path in (tmp_path / "tensorboard").iterdir() if path.name != "study"):
        # Whichever TensorBoard reads first: the page has the columns of the whole space.
        content = read(folder).summary_metadata["_hparams_/experiment"].plugin_data.content
        experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
        types = {info.name: info.type for info in experiment.hparam_infos}
        assert set(types) == {"phase", "state", *ABOUT["space"]}
        assert types["sgd.momentum"] == DATA_TYPE_FLOAT64
        assert types["optim.name"] == types["width"] == DATA_TYPE_STRING
        metrics = {info.name.tag for info in experiment.metric_infos}
        assert metrics >= {"end/val_accuracy", "end/test_accuracy"}

    page = hparams(tmp_path / "tensorboard")
    assert page.columns == {"phase", "state", *ABOUT["space"]}
    assert len(page.rows) == len(OVER)
    row = page.rows["search 3 adam"]
    assert row["optim.lr"] == pytest.approx(0.04) and "sgd.momentum" not in row
    assert page.values["search 3 adam"]["end/val_accuracy"] == pytest.approx(0.93 - 0.1 / 3)
    assert page.values["test adam seed 1 (0)"]["end/test_accuracy"] == 0.5

    (picture,) = first.Images("mistakes")
    drawn = matplotlib.image.imread(io.BytesIO(picture.encoded_image_string))
    assert np.array_equal(255 - np.rint(255 * drawn[:28, :28]), IMAGES.images[5])
    (said,) = first.Tensors("mistakes_said")
    assert all(line in said.tensor_proto.string_val[0].decode() for line in CAPTIONS)
    assert not read(tmp_path / "tensorboard" / "search 1 adam").Tags()["images"]

    study = read(tmp_path / "tensorboard" / "study")
    assert [p.step for p in study.Scalars("complete/val_accuracy")] == [0, 3]
    assert [p.step for p in study.Scalars("pruned/val_accuracy")] == [1]
    assert "verdict" in study.Tags()["tensors"]


def test_a_trial_that_was_left_half_done_is_there_once(tmp_path):
    events = whole()
    write(tmp_path, events[:4])
    track("tensorboard", tmp_path)
    write(tmp_path, list(trial(0)))
    assert track("tensorboard", tmp_path)[1]
    points = read(tmp_path / "tensorboard" / "search 0 adam").Scalars("val_loss")
    assert [point.step for point in points] == [1, 2, 3]


def test_images_that_are_not_those_of_the_study_are_not_shown(tmp_path):
    about, *rest = begin()
    other = dataclasses.replace(about, data={**about.data, "data": "another"})
    write(tmp_path, [other, *rest, *trial(0), *trial(1)])
    said, complete = track("tensorboard", tmp_path)
    assert complete and said[:-1] == [
        f"no pictures of mistakes: data 'mnist-10pct': those here ({IMAGES.fingerprint}) are not"
        " those of the study (another)"
    ]
    assert not read(tmp_path / "tensorboard" / "search 0 adam").Tags()["images"]
