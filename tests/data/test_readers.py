"""Every format of images gives the same arrays; what is wrong with a file is one line."""

import gzip
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from mnist_core.data import idx
from mnist_core.data.readers import memory, reader_of
from mnist_core.data.readers.parts import TEST, TRAIN, Wanted
from mnist_core.errors import DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (30, 8, 8), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (30, 8, 6, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def read(path, **wanted):
    return reader_of(path)(path, Wanted(**wanted), None)


def refused(path, **wanted):
    with pytest.raises(DataError) as caught:
        read(path, **wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(parts, images, labels=LABELS, part=TRAIN):
    assert np.array_equal(parts.of[part].images, images)
    assert np.array_equal(parts.of[part].labels, labels)


def test_npz(tmp_path):
    file = tmp_path / "some.npz"
    np.savez(file, x_train=COLOUR, y_train=LABELS, x_test=COLOUR[:9], y_test=LABELS[:9, None])
    same(read(file), COLOUR)
    same(read(file), COLOUR[:9], LABELS[:9], TEST)
    planes = COLOUR.transpose(0, 3, 1, 2)
    np.savez(file, train_images=planes / 255, train_labels=LABELS, class_names=["a", "b", "c"])
    same(read(file), COLOUR)
    assert read(file).class_names == ("a", "b", "c")
    np.savez(file, images=GREY[:, None], labels=np.array(["cat", "dog", "eel"])[LABELS])
    same(read(file), GREY)
    assert read(file).class_names == ("cat", "dog", "eel")


def test_npy(tmp_path):
    np.save(tmp_path / "images.npy", GREY)
    np.save(tmp_path / "labels.npy", LABELS + 1)
    same(read(tmp_path / "images.npy"), GREY)
    same(read(tmp_path), GREY)
    assert read(tmp_path).class_names == ("1", "2", "3")


def test_csv(tmp_path):
    file = tmp_path / "table.csv"
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    rows = np.column_stack([LABELS, GREY.reshape(30, -1)])
    np.savetxt(file, rows, "%d", delimiter=",", header=header, comments="")
    same(read(file), GREY)
    np.savetxt(file, rows, "%d", delimiter=",")
    same(read(file), GREY)
    square = COLOUR[:, :6]
    rows = np.column_stack([square.reshape(30, -1), LABELS])
    header = ",".join([*(f"p{i}" for i in range(108)), "label"])
    np.savetxt(file, rows, "%d", delimiter=",", header=header, comments="")
    same(read(file), square)


def test_pt(tmp_path):
    file = tmp_path / "some.pt"
    torch.save({"images": torch.from_numpy(COLOUR), "labels": torch.from_numpy(LABELS)}, file)
    same(read(file), COLOUR)
    torch.save((torch.from_numpy(GREY), torch.from_numpy(LABELS)), file)
    same(read(file), GREY)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_of_any_name_and_size(tmp_path, end):
    labels = LABELS.astype(np.uint8)
    idx.write_images(tmp_path / f"letters-train-images-idx3-ubyte{end}", GREY)
    idx.write_labels(tmp_path / f"letters-train-labels-idx1-ubyte{end}", labels)
    idx.write_images(tmp_path / f"letters-test-images-idx3-ubyte{end}", GREY[:6])
    idx.write_labels(tmp_path / f"letters-test-labels-idx1-ubyte{end}", labels[:6])
    same(read(tmp_path), GREY)
    same(read(tmp_path), GREY[:6], LABELS[:6], TEST)


def test_all_are_scaled(tmp_path):
    np.savez(tmp_path / "some.npz", images=COLOUR, labels=LABELS)
    assert read(tmp_path / "some.npz", size=4, channels=1).of[TRAIN].images.shape == (30, 4, 4)
    np.savez(tmp_path / "some.npz", images=GREY, labels=LABELS)
    assert read(tmp_path / "some.npz", channels=3).of[TRAIN].images.shape == (30, 8, 8, 3)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_pickled_is_read(tmp_path, capsys):
    np.savez(tmp_path / "some.npz", images=GREY, labels=np.array([Evil()] * 30))
    assert "pickled objects" in refused(tmp_path / "some.npz")
    np.save(tmp_path / "images.npy", np.array([Evil()]))
    np.save(tmp_path / "labels.npy", LABELS)
    assert "pickled objects" in refused(tmp_path / "images.npy")
    with gzip.open(tmp_path / "junk.bin", "wb") as file:
        pickle.dump(Evil(), file)
    torch.save({"images": Evil()}, tmp_path / "some.pt")
    assert "tensors only" in refused(tmp_path / "some.pt")
    assert "executed" not in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path):
    file = tmp_path / "some.npz"

    def saved(**arrays):
        np.savez(file, **arrays)
        return refused(file)

    assert "holds no images" in saved(first=GREY)
    assert "holds no labels" in saved(images=GREY)
    assert "a label an image" in saved(images=GREY, labels=LABELS[:3])
    assert "one class" in saved(images=GREY, labels=LABELS * 0)
    assert "0 to 255" in saved(images=GREY - 300.0, labels=LABELS)
    assert "image 1 " in saved(images=GREY * np.nan, labels=LABELS)
    assert "[30, 8]" in saved(images=GREY[:, 0], labels=LABELS)
    assert "whole numbers" in saved(images=GREY, labels=LABELS / 2)
    assert "not among the training" in saved(
        x_train=GREY, y_train=LABELS, x_test=GREY, y_test=LABELS + 1
    )
    assert "class 'd' has no image" in saved(images=GREY, labels=LABELS, class_names=list("abcd"))
    assert "several shapes" in saved(x_train=GREY, y_train=LABELS, x_test=COLOUR, y_test=LABELS)
    many = np.zeros((1001, 2, 2), np.uint8)
    assert "1,001 classes" in saved(images=many, labels=np.arange(1001))
    assert "data.size" in saved(images=np.zeros((4, 300, 300), np.uint8), labels=[0, 1, 0, 1])
    file.write_bytes(b"PK\x03\x04 nothing")
    assert "cannot be read" in refused(file)


@pytest.mark.parametrize("end", [".pt", ".npz", ".npy"])
@pytest.mark.parametrize("content", [b"hello", b"", b"PK", bytes(range(256)), b"label,p0\n1,2\n"])
def test_a_file_with_a_wrong_name_is_not_called_a_pickle(tmp_path, end, content):
    file = tmp_path / f"images{end}"
    file.write_bytes(content)
    np.save(tmp_path / "labels.npy", LABELS)
    line = refused(file)
    assert file.name in line
    assert end == ".pt" or "pickled" not in line


def test_a_missing_pixel_is_named(tmp_path):
    file = tmp_path / "some.npz"
    pixels = GREY / 255
    pixels[6, 1, 1] = np.nan
    np.savez(file, images=pixels, labels=LABELS)
    assert "image 7 " in refused(file)


@pytest.mark.parametrize("names", [["a", "b"], ["a"], ["a", "a", "b"]])
def test_class_names_that_do_not_fit_the_labels(tmp_path, names):
    file = tmp_path / "some.npz"
    np.savez(file, images=GREY, labels=LABELS, class_names=names)
    assert "name" in refused(file)


def test_a_folder_with_parts_but_no_train(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "val" / name).mkdir(parents=True)
    assert "none called train" in refused(tmp_path)


def test_tables_with_other_columns(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text("label,a,b\n0,1,2\n1,3,4\n")
    assert "square image" in refused(file)
    file.write_text("a,b,c,d,e\n0,1,2,3,4\n")
    assert "has no column label" in refused(file)
    file.write_text("label,a,b,c,d\n0,1,2,3,x\n1,1,2,3,4\n")
    assert "column 'd' is not of numbers" in refused(file)
    file.write_text("label,a,b,c,d\n0,1,2,3,4\n1,1,2,3,4\n")
    (tmp_path / "test.csv").write_text("label,b,a,c,d\n0,1,2,3,4\n1,1,2,3,4\n")
    assert "has other columns" in refused(tmp_path)


def _as_npz(root):
    np.savez(root / "some.npz", images=COLOUR, labels=LABELS)
    return root / "some.npz"


def _as_npy(root):
    np.save(root / "images.npy", COLOUR)
    np.save(root / "labels.npy", LABELS)
    return root


def _as_csv(root):
    rows = np.column_stack([LABELS, GREY.reshape(30, -1)])
    np.savetxt(root / "some.csv.gz", rows, "%d", delimiter=",")
    return root / "some.csv.gz"


def _as_pt(root):
    torch.save((torch.from_numpy(GREY), torch.from_numpy(LABELS)), root / "some.pt")
    return root / "some.pt"


def _as_idx(root):
    idx.write_images(root / "train-images-idx3.gz", GREY)
    idx.write_labels(root / "train-labels-idx1.gz", LABELS.astype(np.uint8))
    return root


@pytest.mark.parametrize("written", [_as_npz, _as_npy, _as_csv, _as_pt, _as_idx])
def test_more_than_memory_is_refused_before_it_is_read(tmp_path, monkeypatch, written):
    path = written(tmp_path)
    read(path)

    def loaded(*arguments, **settings):
        raise AssertionError("it was read")

    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    for owner, name in ((np, "load"), (torch, "load"), (pd, "read_csv"), (idx, "read_raw")):
        monkeypatch.setattr(owner, name, loaded)
    assert "of memory are free" in refused(path)


def test_the_values_of_a_table_are_estimated(tmp_path):
    rows = np.column_stack([np.arange(20_000) % 3, RANDOM.integers(0, 256, (20_000, 64))])
    for end in ("", ".gz"):
        np.savetxt(tmp_path / f"some.csv{end}", rows, "%d", delimiter=",")
        found = memory.values_of_table(tmp_path / f"some.csv{end}")
        assert found == pytest.approx(rows.size, rel=0.02)
