"""The note on classes that have no image to be judged by."""

import numpy as np
import pytest
from PIL import Image

from mnist_core.config import DataConfig
from mnist_core.data import own_images
from mnist_core.data.own_images import OwnSource


def folder_of(place, counts, part="."):
    """Write ``counts`` pictures of each class, each of another colour."""
    for label, count in enumerate(counts):
        folder = place / part / f"class{label:04d}"
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.full((8, 8), (7 * label + 31 * number) % 256, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return place


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))

    def of(place, **settings):
        return own_images.read(OwnSource.of(DataConfig(name=str(place), **settings)))

    return of


def test_classes_without_an_image_to_be_judged_by_are_counted(read, tmp_path):
    found = read(folder_of(tmp_path / "few", [3] * 60))
    n = {part: len(np.unique(found.images(part).labels)) for part in ("validation", "test")}
    assert n["validation"] < 60 and n["test"] == 30
    (note,) = found.notes
    assert f"{60 - n['validation']} have no image to validate" in note
    assert "30 have no image to test" in note and "8 images of each class" in note


@pytest.mark.parametrize(
    ("settings", "enough"),
    [({}, 8), ({"test_set": False}, 6), ({"confirm": "half"}, 15)],
)
def test_what_the_note_says_is_enough_is_enough(read, tmp_path, settings, enough):
    (note,) = read(folder_of(tmp_path / "few", [3] * 40), **settings).notes
    assert f"{enough} images of each class" in note
    for classes in (2, 3, 40):
        place = folder_of(tmp_path / f"{classes}", [enough] * classes)
        assert read(place, **settings).notes == ()


def test_a_part_of_ones_own_that_lacks_classes_is_said(read, tmp_path):
    place = tmp_path / "parts"
    folder_of(place, [20] * 3, "train")
    folder_of(place, [2] * 3, "val")
    folder_of(place, [2] * 2, "test")
    (note,) = read(place).notes
    assert "1 has no image to test" in note and "images of each class" not in note
