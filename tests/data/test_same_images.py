"""The same images give the same data, whichever way they are loaded: real ones where they are."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_core.config import DataConfig
from mnist_core.data import datasets, idx, load, load_test
from mnist_core.data.own_images import OwnSource

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Of Debian's package dataset-fashion-mnist."""

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    datasets.clear_cache()
    yield
    datasets.clear_cache()


def drawn(n, seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with files as MNIST's: Debian's first ones, or drawn if they are absent."""
    folder = tmp_path_factory.mktemp("files")
    if DEBIAN.is_dir():
        arrays = []
        for name, n in zip(FILES, (600, 600, 100, 100), strict=True):
            read = idx.read_images if "images" in name else idx.read_labels
            arrays.append(read(DEBIAN / f"{name}-ubyte.gz")[:n])
    else:
        arrays = [*drawn(600, 0), *drawn(100, 1)]
    for name, values in zip(FILES, arrays, strict=True):
        write = idx.write_images if "images" in name else idx.write_labels
        write(folder / f"{name}-ubyte.gz", values)
    return folder, arrays


def as_npz(root, x, y, tx, ty):
    np.savez(root / "some.npz", x_train=x, y_train=y, x_test=tx, y_test=ty)
    return root / "some.npz"


def as_npy(root, x, y, tx, ty):
    for name, values in (("x_train", x), ("y_train", y), ("x_test", tx), ("y_test", ty)):
        np.save(root / f"{name}.npy", values)
    return root


def as_idx_of_other_names(root, x, y, tx, ty):
    for part, images, labels in (("letters-train", x, y), ("letters-test", tx, ty)):
        idx.write_images(root / f"{part}-images.idx3", images)
        idx.write_labels(root / f"{part}-labels.idx1", labels)
    return root


def as_pt(root, x, y, tx, ty):
    names = ("train_images", "train_labels", "test_images", "test_labels")
    values = (torch.tensor(each) for each in (x, y.astype(int), tx, ty.astype(int)))
    torch.save(dict(zip(names, values, strict=True)), root / "some.pt")
    return root / "some.pt"


def as_csv(root, x, y, tx, ty):
    for part, images, labels in (("train", x, y), ("test", tx, ty)):
        rows = np.column_stack([labels, images.reshape(len(images), -1)])
        with gzip.open(root / f"{part}.csv.gz", "wt") as file:
            np.savetxt(file, rows, "%d", delimiter=";")
    return root


@pytest.mark.parametrize("written", [as_npz, as_npy, as_idx_of_other_names, as_pt, as_csv])
def test_each_format_gives_the_same_data(tmp_path, files, written):
    folder, arrays = files
    by_path = load(DataConfig(name=str(folder)))
    (tmp_path / "other").mkdir()
    config = DataConfig(name=str(written(tmp_path / "other", *arrays)))
    found = load(config)
    assert found.fingerprint == by_path.fingerprint and found.about == by_path.about
    for one, other in (
        (found.train, by_path.train),
        (found.validation, by_path.validation),
        (load_test(config), load_test(DataConfig(name=str(folder)))),
    ):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_the_images_and_split_of_a_path_are_those_of_data_root(files):
    folder, _ = files
    by_path = load(DataConfig(name=str(folder)))
    by_root = load(DataConfig(name="folder", root=str(folder)))
    for one, other in ((by_path.train, by_root.train), (by_path.validation, by_root.validation)):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_pictures_of_them_have_the_same_pixels(tmp_path, files):
    _, (images, labels, *_) = files
    root = tmp_path / "pictures"
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = root / str(label) / f"{number:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    source = OwnSource.of(DataConfig(name=str(root)))
    assert source is not None
    found = datasets.own_images.read(source).found.parts["train"]
    order = np.argsort(labels, kind="stable")  # a folder a class, then by name
    assert np.array_equal(found.images, images[order])
    assert np.array_equal(found.labels, labels[order])
