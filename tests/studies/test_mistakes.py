"""Pictures of mistakes, against the images that the trainer loads."""

import numpy as np
import pytest

from mnist_core.config import DataConfig
from mnist_core.data import load
from mnist_core.errors import DataError
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.pictures import mosaic
from objectives.mistake_images import MistakeImages, data_config


def mistake(*images):
    return Mistake(images=images, truth=0, said=1, score=0.5)


def test_each_is_drawn_from_the_validation_split():
    data = load(DataConfig(split_seed=3))
    images = data.validation.images.numpy()
    single, pair = MistakeImages().draw(
        [mistake(7), mistake(8, 999)], DataConfig(split_seed=3), data.fingerprint
    )
    assert np.array_equal(255 - single, images[7])
    assert np.array_equal(255 - pair[:, :28], images[8])
    assert np.array_equal(255 - pair[:, -28:], images[999])


@pytest.mark.parametrize(
    ("config", "index", "said"),
    [
        (DataConfig(split_seed=1), 0, "are not those of the study"),
        (DataConfig(), 1000, "has 1000 validation images only"),
        (DataConfig(name="folder", root="/nowhere"), 0, "/nowhere: holds no train-images"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(config, index, said):
    with pytest.raises(DataError, match=said) as caught:
        MistakeImages().draw([mistake(index)], config, load(DataConfig()).fingerprint)
    assert "\n" not in str(caught.value)


def test_without_mistakes_no_file_is_read():
    assert MistakeImages().draw([], DataConfig(name="folder", root="/nowhere"), "") == []


def test_the_data_of_a_trials_settings():
    settings = {"epochs": 5, "data.name": "mnist", "data.split_seed": 2, "database.x": 1}
    assert data_config(settings) == DataConfig(name="mnist", split_seed=2)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_mosaic_holds_all(count):
    pictures = [np.full((4, 5), n, np.uint8) for n in range(count)]
    drawn = mosaic(pictures)
    assert all((drawn == n).sum() == 20 for n in range(count))
