"""CSV files as spreadsheets, pandas, NumPy and other countries write them give the same images."""

import numpy as np
import pandas as pd
import pytest

from mnist_core.data.readers import memory, reader_of
from mnist_core.data.readers.parts import TRAIN, Wanted
from mnist_core.errors import DataError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 4, 4), dtype=np.uint8)
LABELS = np.arange(30) % 3
NAMES = np.array(["cat", "dog", "eel"])[LABELS]


def table(labels=LABELS, pixels=IMAGES, label="label"):
    columns = {f"p{i}": pixels.reshape(30, -1)[:, i] for i in range(16)}
    return pd.DataFrame({label: labels, **columns})


def read(path):
    return reader_of(path)(path, Wanted(), None)


def same(path, images=IMAGES, names=()):
    found = read(path)
    assert np.array_equal(found.of[TRAIN].images, images)
    assert np.array_equal(found.of[TRAIN].labels, LABELS)
    assert found.class_names == names


def refused(path):
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        {"sep": ";"},
        {"sep": "\t"},
        {"sep": "|"},
        {"sep": " "},
        {"quoting": 1},  # all values in quotes
        {"encoding": "utf-8-sig"},
        {"encoding": "utf-16", "sep": "\t"},
        {"index": True},  # pandas counts the rows in a column without a name
        {"index": True, "index_label": "id", "sep": ";"},
        {"lineterminator": "\r\n"},
        {"lineterminator": "\n\n"},
        {"header": False},
        {"header": False, "sep": ";"},
    ],
)
def test_as_programs_write_them(tmp_path, written):
    file = tmp_path / "some.csv"
    table().to_csv(file, **{"index": False, **written})
    same(file)
    table(NAMES).to_csv(file, **{"index": False, **written})
    same(file, names=("cat", "dog", "eel"))


@pytest.mark.parametrize("label", ["Label", " class ", "target", "Category", "digit", "y"])
def test_names_of_the_column_of_labels(tmp_path, label):
    table(label=label).to_csv(tmp_path / "some.csv", index=False)
    same(tmp_path / "some.csv")


def test_the_only_column_of_texts_has_the_labels(tmp_path):
    file = tmp_path / "some.csv"
    table(NAMES, label="species").to_csv(file, index=False)
    same(file, names=("cat", "dog", "eel"))
    last = table(NAMES).iloc[:, [*range(1, 17), 0]]
    last.to_csv(file, index=False, header=False)
    same(file, names=("cat", "dog", "eel"))


@pytest.mark.parametrize("label", ["label", "kind"])
def test_pixels_named_by_their_places(tmp_path, label):
    found = table(NAMES, label=label)
    found.columns = [label, *map(str, range(16))]
    found.to_csv(tmp_path / "some.csv", index=False)
    same(tmp_path / "some.csv", names=("cat", "dog", "eel"))


def test_a_header_of_numpy(tmp_path):
    found = table()
    header = ",".join(found.columns)
    np.savetxt(tmp_path / "some.csv", found.to_numpy(), "%d", delimiter=",", header=header)
    same(tmp_path / "some.csv")


@pytest.mark.parametrize("written", [{}, {"sep": ";", "decimal": ","}])
@pytest.mark.parametrize("divisor", [1.0, 255.0])
def test_pixels_as_fractions(tmp_path, written, divisor):
    pixels = IMAGES / divisor
    table(pixels=pixels).to_csv(tmp_path / "some.csv", index=False, **written)
    same(tmp_path / "some.csv")


def test_empty_rows_are_no_images(tmp_path):
    file = tmp_path / "some.csv"
    table().to_csv(file, index=False)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(["", "", *lines[:9], "," * 16, "", *lines[9:], "", ""]))
    same(file)


def test_labels_below_0(tmp_path):
    file = tmp_path / "some.csv"
    labels = LABELS.copy()
    labels[:4] = -1
    table(labels).to_csv(file, index=False)
    assert "4 images with the label -1" in refused(file)
    table(np.where(LABELS == 0, -1, 1)).to_csv(file, index=False)
    assert read(file).class_names == ("-1", "1")
    np.savez(tmp_path / "some.npz", images=IMAGES, labels=labels)
    assert "label -1" in refused(tmp_path / "some.npz")


def test_mistakes_are_one_line(tmp_path):
    file = tmp_path / "train.csv"

    def saved(found):
        found.to_csv(file, index=False)
        return refused(file)

    assert "rename the one with the classes to label" in saved(table(label="a"))
    wrong = table().astype(object)
    wrong.iloc[6, 3] = "?"
    assert "column 'p2' is not of numbers: '?' of image 7" in saved(wrong)
    wrong.columns = range(17)
    wrong.to_csv(file, index=False, header=False)
    assert "'?' of image 7" in refused(file)
    absent = table().astype(float)
    absent.iloc[2, 0] = np.nan
    assert "image 3 has no label" in saved(absent)
    absent = table().astype(float)
    absent.iloc[4, 5] = np.nan
    assert "image 5 has a pixel" in saved(absent)
    table(np.where(LABELS == 0, "für", "auf")).to_csv(file, index=False, encoding="latin-1")
    assert "save the table as UTF-8" in refused(file)
    file.write_text("")
    assert "is empty" in refused(file)
    file.write_text("label,a,b,c,d\n1,2,3,4,5\n1,2,3,4,5,6,7\n")
    assert "line 3" in refused(file)


def test_a_part_without_labels_says_what_to_do(tmp_path):
    table().to_csv(tmp_path / "train.csv", index=False)
    table().iloc[:, 1:].to_csv(tmp_path / "test.csv", index=False)
    assert "train.csv alone" in refused(tmp_path)


@pytest.mark.parametrize("sep", [";", "\t", " "])
def test_the_values_of_a_table_are_estimated_whatever_is_between_them(tmp_path, sep):
    table().to_csv(tmp_path / "some.csv", index=False, sep=sep)
    found = memory.values_of_table(tmp_path / "some.csv")
    assert found == pytest.approx(31 * 17, rel=0.05)
