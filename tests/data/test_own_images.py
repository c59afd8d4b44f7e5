"""Own images: colour pictures are decoded once, split and described; mistakes are one line."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_core.config import DataConfig
from mnist_core.data import datasets, decoded_cache, load, load_confirm, load_test
from mnist_core.data.readers import arrays, folder
from mnist_core.data.readers import pictures as reader
from mnist_core.data.readers.parts import Wanted
from mnist_core.errors import DataError
from mnist_core.images import MNIST, Images

CLASSES = ("apple", "kiwi", "lemon")


def picture(path, colour, side=(12, 12), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = side
    pixels = np.full((rows, columns, 3), colour, np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def pictures(root, n=12, classes=CLASSES, side=(12, 12), mode="RGB"):
    for k, name in enumerate(classes):
        for i in range(n):
            picture(root / name / f"{i}.png", (80 * k, 200 - 10 * i, i), side, mode)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    datasets.clear_cache()
    yield tmp_path / "cache"
    datasets.clear_cache()


def config(root, **changes):
    return DataConfig(name=str(root), **changes)


def refused(call, *given):
    with pytest.raises(DataError) as caught:
        call(*given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_of_colour_pictures(tmp_path):
    data = load(config(pictures(tmp_path / "fruit")))
    assert data.name == "fruit" and data.n_classes == 3
    assert data.about.class_names == CLASSES and data.about.shape == (3, 12, 12)
    test = load_test(config(tmp_path / "fruit"))
    assert (len(data.train), len(data.validation), len(test)) == (25, 5, 6)
    assert data.train.images.shape == (25, 12, 12, 3) and data.train.images.dtype == torch.uint8
    everything = torch.cat([data.train.images, data.validation.images, test.images])
    assert len({image.numpy().tobytes() for image in everything}) == 36  # no image is in two parts
    for split in (data.train, data.validation, test):
        assert torch.equal(split.images[:, 0, 0, 0].long(), 80 * split.labels)
    floats = data.train.images.double().flatten(0, 2) / 255
    assert np.allclose(data.about.mean, floats.mean(dim=0), atol=1e-5)
    assert np.allclose(data.about.std, floats.std(dim=0, unbiased=False), atol=1e-5)


def test_parts_in_folders_of_their_own(tmp_path):
    for part, n in (("train", 9), ("val", 3), ("test", 4)):
        pictures(tmp_path / "all" / part, n)
    data = load(config(tmp_path / "all"))
    sizes = len(data.train), len(data.validation), len(load_test(config(tmp_path / "all")))
    assert sizes == (27, 9, 12)


def test_without_a_test_set_all_are_learned_from(tmp_path):
    data = load(config(pictures(tmp_path / "fruit"), test_set=False))
    assert (len(data.train), len(data.validation)) == (30, 6)
    assert "test_set" in data.test_problem


def test_half_of_the_validation_images_confirm(tmp_path):
    asked = config(pictures(tmp_path / "fruit"), confirm="half")
    confirm = load_confirm(asked)
    assert len(confirm) + len(load(asked).validation) == 5
    assert load_confirm(config(tmp_path / "fruit")) is None


def test_they_are_decoded_once(tmp_path, monkeypatch):
    root = pictures(tmp_path / "fruit")
    first = load(config(root))
    datasets.clear_cache()
    with monkeypatch.context() as never:
        never.setattr(folder.pictures, "decode", None)
        again = load(config(root))
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.train.images, first.train.images)
    datasets.clear_cache()
    picture(root / "apple" / "0.png", (1, 2, 3))
    assert load(config(root)).fingerprint != first.fingerprint


def test_a_moved_folder_has_the_same_fingerprint(tmp_path):
    first = load(config(pictures(tmp_path / "fruit"))).fingerprint
    (tmp_path / "fruit").rename(tmp_path / "moved")
    assert load(config(tmp_path / "moved")).fingerprint == first


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "file"))
    assert len(load(config(pictures(tmp_path / "fruit"))).train) == 25


def test_sizes_and_channels(tmp_path):
    root = pictures(tmp_path / "fruit", side=(20, 30))
    small = load(config(root, size=8, channels=1))
    assert small.train.images.shape == (25, 8, 8) and small.about.channels == 1
    grey = load(config(pictures(tmp_path / "grey", mode="L")))
    assert grey.about.channels == 1


def test_classes_that_are_numbers_are_in_order(tmp_path):
    names = tuple(map(str, range(11)))
    data = load(config(pictures(tmp_path / "digits", classes=names)))
    assert data.about.class_names == () and data.n_classes == 11


def test_mistakes_are_one_line(tmp_path):
    root = pictures(tmp_path / "sizes")
    picture(root / "kiwi" / "3.png", (1, 1, 1), side=(9, 12))
    assert "data.size" in refused(load, config(root))

    root = pictures(tmp_path / "corrupt")
    good = (root / "lemon" / "0.png").read_bytes()
    (root / "lemon" / "0.png").write_bytes(good[: len(good) // 2])
    assert "lemon/0.png" in refused(load, config(root))
    (root / "lemon" / "0.png").write_bytes(b"")
    assert "lemon/0.png: is not a picture; it is empty" in refused(load, config(root))

    root = pictures(tmp_path / "animated")
    frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "blue")]
    frames[0].save(root / "kiwi" / "0.gif", save_all=True, append_images=frames[1:])
    assert "0.gif: is animated" in refused(load, config(root))

    root = pictures(tmp_path / "wide")
    Image.new("L", (40_000, 2)).save(root / "kiwi" / "wide.png")
    assert "wide.png: is 40,000x2" in refused(load, config(root, size=16))

    root = pictures(tmp_path / "large", side=(129, 20))
    assert "data.size" in refused(load, config(root))

    root = pictures(tmp_path / "empty")
    (root / "plum").mkdir()
    assert "'plum' has no picture" in refused(load, config(root))

    assert "one class" in refused(load, config(pictures(tmp_path / "one", classes=("apple",))))

    pictures(tmp_path / "other" / "train")
    pictures(tmp_path / "other" / "test", classes=("apple", "pear"))
    assert "'pear' of the test images" in refused(load, config(tmp_path / "other"))

    (tmp_path / "none").mkdir()
    assert "expected a folder" in refused(load, config(tmp_path / "none"))
    assert "is not there" in refused(load, config(tmp_path / "missing"))
    assert "did you mean 'mnist'" in refused(load, DataConfig(name="mnst"))


def test_too_many_classes(tmp_path):
    for k in range(1001):
        picture(tmp_path / "many" / f"c{k}" / "0.png", (1, 1, 1), side=(4, 4))
    assert "1,001 classes" in refused(load, config(tmp_path / "many"))


def test_more_images_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_core.data.readers.memory.free_memory", lambda: 1000)
    assert "GiB" in refused(load, config(pictures(tmp_path / "fruit")))


def test_a_description_survives_its_json():
    about = Images(32, 24, 3, ("a", "b"), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Images.from_json(about.to_json()) == about
    assert Images.from_json(MNIST.to_json()) == MNIST
    with pytest.raises(ValueError, match="description"):
        Images.from_json({"shape": [2, 32, 32], "class_names": [], "mean": [0], "std": [1]})


def test_a_damaged_cache_is_decoded_again(tmp_path, cache):
    root = pictures(tmp_path / "fruit")
    first = load(config(root)).fingerprint
    datasets.clear_cache()
    for file in cache.rglob("about.json"):
        file.write_text("{")
    assert load(config(root)).fingerprint == first
    assert decoded_cache.decoded(root, Wanted()).folder is not None


def test_a_damaged_picture_is_not_called_another_file(tmp_path):
    file = tmp_path / "bad.png"
    file.write_bytes(b"\x89PNG hello")
    with pytest.raises(DataError, match="damaged") as caught:
        reader.decode(file, Wanted())
    assert "not a picture" not in str(caught.value)


def test_a_plain_pickle_is_refused_without_a_warning(tmp_path, recwarn):
    file = tmp_path / "some.pt"
    file.write_bytes(pickle.dumps({"images": DataError}, protocol=4))
    with pytest.raises(DataError):
        arrays.read_pt(file, Wanted())
    assert not recwarn.list
