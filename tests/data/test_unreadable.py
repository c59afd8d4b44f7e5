"""Files of images that are cut off, damaged, empty, closed or no files: one line that says so."""

import errno
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_core.data import idx, unreadable
from mnist_core.data.readers import reader_of
from mnist_core.data.readers.parts import Wanted
from mnist_core.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3


def table() -> bytes:
    header = ",".join(["label", *(f"p{place}" for place in range(64))])
    rows = (",".join(map(str, row)) for row in np.column_stack([LABELS, IMAGES.reshape(30, -1)]))
    return "\n".join([header, *rows, ""]).encode()


def written(folder: Path, form: str) -> Path:
    """Write the images in a form; return the file of the images."""
    if form == "npz":
        np.savez_compressed(folder / "some.npz", images=IMAGES, labels=LABELS)
        return folder / "some.npz"
    if form == "npy":
        np.save(folder / "labels.npy", LABELS)
        np.save(folder / "images.npy", IMAGES)
        return folder / "images.npy"
    if form == "pt":
        tensors = {"images": torch.from_numpy(IMAGES), "labels": torch.from_numpy(LABELS)}
        torch.save(tensors, folder / "some.pt")
        return folder / "some.pt"
    if form.startswith("csv"):
        content = gzip.compress(table(), mtime=0) if form == "csv.gz" else table()
        (folder / f"table.{form}").write_bytes(content)
        return folder / f"table.{form}"
    end = form.removeprefix("idx")
    idx.write_labels(folder / "train-labels-idx1-ubyte", LABELS.astype(np.uint8))
    idx.write_images(folder / f"train-images-idx3-ubyte{end}", IMAGES)
    return folder / f"train-images-idx3-ubyte{end}"


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        reader_of(path)(path, Wanted(), None)
    said = str(caught.value)
    assert "\n" not in said and path.name in said
    return said


FORMS = ["npz", "npy", "pt", "csv", "csv.gz", "idx", "idx.gz"]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "csv"])
@pytest.mark.parametrize("left", [0, 2, 3, 11, 0.5, -1])
def test_what_is_cut_off_says_what_to_do(tmp_path, form, left):
    file = written(tmp_path, form)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * left) if 0 < left < 1 else left])
    said = refused(file)
    # Of its first bytes alone nothing says what it was.
    assert unreadable.AGAIN in said or (form in ("npy", "npz", "pt") and left in (2, 3))
    if form.startswith("idx"):  # also by its folder
        assert refused_folder(tmp_path, file) == said


def refused_folder(folder: Path, file: Path) -> str:
    with pytest.raises(DataError) as caught:
        reader_of(folder)(folder, Wanted(), None)
    assert file.name in str(caught.value)
    return str(caught.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(form=st.sampled_from(FORMS), place=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_damaged_byte_is_read_or_is_one_line(tmp_path, form, place, byte):
    file = written(tmp_path, form)
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] = byte
    file.write_bytes(content)
    try:
        reader_of(file)(file, Wanted(), None)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("content", ["", "\n\n", "label,p0,p1,p2,p3\n", "label,0,1,2,3\n"])
def test_a_table_without_an_image(tmp_path, content):
    (tmp_path / "table.csv").write_text(content)
    said = refused(tmp_path / "table.csv")
    assert "is empty" in said or "no image" in said


def test_rows_that_are_not_alike_name_the_line(tmp_path):
    lines = table().decode().splitlines()
    lines[7] += ",7"
    (tmp_path / "table.csv").write_text("\n".join(lines))
    assert "line 8" in refused(tmp_path / "table.csv")


def test_damage_in_compressed_bytes(tmp_path):
    content = bytearray(gzip.compress(table(), mtime=0))
    content[30] ^= 255
    (tmp_path / "table.csv.gz").write_bytes(content)
    assert unreadable.AGAIN in refused(tmp_path / "table.csv.gz")


@pytest.mark.parametrize("name", ["some.npz", "images.npy", "some.pt", "table.csv", "some.bin"])
def test_what_the_system_refuses_says_why(tmp_path, name):
    pipe = tmp_path / "pipe" / name
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    assert "pipe" in refused(pipe)  # and is not waited for
    (tmp_path / name).symlink_to("/proc/self/mem")  # a file that fails to be read, also for root
    assert os.strerror(errno.EIO) in refused(tmp_path / name)
    assert "chmod" in unreadable.refused(PermissionError(errno.EACCES, "Permission denied"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_may_not_be_read(tmp_path, form):
    file = written(tmp_path, form)
    file.chmod(0)
    assert "chmod" in refused(file)


def test_folders_in_place_of_files(tmp_path):
    for name in ("train.csv", "images.npy"):
        (tmp_path / name / name).mkdir(parents=True)
        assert "is a folder" in refused(tmp_path / name)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "images.npy").symlink_to("nowhere")
    with pytest.raises(DataError, match="link to nothing"):
        reader_of(tmp_path / "links")(tmp_path / "links", Wanted(), None)


def test_tensors_that_numpy_lacks(tmp_path):
    file = tmp_path / "some.pt"
    labels = torch.from_numpy(LABELS)
    for images in (torch.from_numpy(IMAGES).to_sparse(), torch.ones(30, 8, 8).bfloat16()):
        torch.save({"images": images, "labels": labels}, file)
        assert "images" in refused(file)
    torch.save({"images": [[1, 2], [3]], "labels": labels}, file)
    assert "images" in refused(file)
    weights = torch.from_numpy(IMAGES).float().requires_grad_()
    torch.save({"images": weights, "labels": labels}, file)
    reader_of(file)(file, Wanted(), None)
