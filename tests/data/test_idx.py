import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mnist_core.data import idx
from mnist_core.errors import DataError

IMAGES = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
LABELS = np.array([3, 9], dtype=np.uint8)
IMAGE_ARRAYS = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=6))
SUFFIXES = st.sampled_from(["", ".gz"])


def header(*numbers: int) -> bytes:
    return np.array(numbers, dtype=">u4").tobytes()


def refusal(path: Path, read=idx.read_images, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx")


@given(images=IMAGE_ARRAYS, suffix=SUFFIXES)
def test_images_round_trip(folder: Path, images: idx.UInt8Array, suffix: str):
    path = folder / f"images{suffix}"
    idx.write_images(path, images)
    read = idx.read_images(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, images)


@given(labels=arrays(np.uint8, st.integers(0, 40)), suffix=SUFFIXES)
def test_labels_round_trip(folder: Path, labels: idx.UInt8Array, suffix: str):
    path = folder / f"labels{suffix}"
    idx.write_labels(path, labels)
    np.testing.assert_array_equal(idx.read_labels(path, n_classes=256), labels)


@given(images=IMAGE_ARRAYS)
def test_same_images_same_bytes(folder: Path, images: idx.UInt8Array):
    one, other = folder / "one.gz", folder / "other.gz"
    idx.write_images(one, images)
    idx.write_images(other, images)
    assert one.read_bytes() == other.read_bytes()


def test_matches_torchvision(folder: Path):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    idx.write_images(folder / "i", IMAGES)
    idx.write_labels(folder / "l", LABELS)
    np.testing.assert_array_equal(read_image_file(str(folder / "i")).numpy(), IMAGES)
    np.testing.assert_array_equal(read_label_file(str(folder / "l")).numpy(), LABELS)


def test_result_is_writable(folder: Path):
    idx.write_images(folder / "w.gz", IMAGES)
    idx.read_images(folder / "w.gz")[0, 0, 0] = 1


def test_content_decides_not_the_name(folder: Path):
    idx.write_images(folder / "a.gz", IMAGES)
    (folder / "b").write_bytes((folder / "a.gz").read_bytes())
    (folder / "c.gz").write_bytes(gzip.decompress((folder / "a.gz").read_bytes()))
    np.testing.assert_array_equal(idx.read_images(folder / "b"), IMAGES)
    np.testing.assert_array_equal(idx.read_images(folder / "c.gz"), IMAGES)


def test_several_gzip_members(folder: Path):
    content = header(2049, 2) + bytes(LABELS)
    (folder / "m.gz").write_bytes(gzip.compress(content[:7]) + gzip.compress(content[7:]))
    np.testing.assert_array_equal(idx.read_labels(folder / "m.gz"), LABELS)


VALID = header(2051, 2, 3, 5) + IMAGES.tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "byte 0: expected the magic number 2051 of images, but got the end of the file"),
        (VALID[:3], "byte 3: expected the magic number"),
        (VALID[:6], "byte 6: expected the count, but got the end of the file"),
        (VALID[:14], "byte 14: expected the columns, but got the end of the file"),
        (header(2049, 2, 3, 5), "byte 0: expected the magic number 2051 of images, but got 2049"),
        (header(2051, 2, 0, 5), "byte 8: expected 1..4096 as the rows, but got 0"),
        (header(2051, 2, 3, 4097), "byte 12: expected 1..4096 as the columns, but got 4097"),
        (VALID[:-1], "byte 45: expected 46 bytes in all, but got the end of the file"),
        (VALID + b"x", "byte 46: expected the end of the file, but got further bytes"),
        (header(2051, 2**32 - 1, 4096, 4096), "byte 4: expected at most 1073741824 bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_refusals_say_offset_and_reason(folder: Path, content: bytes, words: str, packed: bool):
    path = folder / "refused"
    path.write_bytes(gzip.compress(content) if packed else content)
    message = refusal(path)
    assert words in message
    assert str(path) in message


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"content")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML page"),
        (b"\xef\xbb\xbf  <HTML>", "HTML page"),
        (zipped("train-images-idx3-ubyte"), "zip archive"),
        (zipped("x_train.npy"), ".npz"),
        (zipped("archive/data.pkl"), "torch.save"),
        (gzip.compress(VALID), "gzip twice"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS"),
        (b"label,1x1,1x2,1x3\n5,0,0,0\n", "CSV"),
        (b"7;0;0\n", "CSV"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", ".npy"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "PNG picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG picture"),
        (tarred(), "tar archive"),
        (pickle.dumps({"x": [1]}), "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b'{"images": []}', "JSON"),
        (b"404: Not Found", "text"),
        (b"", "empty"),
        (header(2049, 2) + bytes(LABELS), "IDX file of labels"),
    ],
    ids=range(19),  # bytes of an archive hold the time, and all workers must give the same names
)
def test_a_wrong_file_is_named_in_words(folder: Path, content: bytes, words: str):
    path = folder / "wrong"
    path.write_bytes(gzip.compress(content))
    message = refusal(path)
    assert words in message and "read are IDX files" in message
    if not content.startswith(b"\x1f\x8b"):
        path.write_bytes(content)
        assert words in refusal(path)


def test_padding_with_zeros_is_passed_over(folder: Path):
    """As gzip and Python do: after the end, and between two members."""
    path = folder / "padded.gz"
    first, second = gzip.compress(VALID[:20]), gzip.compress(VALID[20:])
    for content in (
        gzip.compress(VALID) + bytes(1),
        first + bytes(512) + second + bytes(3 * 2**20),
        gzip.compress(VALID) + bytes(2**20),
    ):
        path.write_bytes(content)
        assert gzip.decompress(content) == VALID
        assert idx.read_raw(path).content == VALID
    path.write_bytes(gzip.compress(VALID) + bytes(9) + b"garbage")
    assert "expected gzip data" in refusal(path)


@pytest.mark.parametrize("n_classes", [1, 9])
def test_label_out_of_range(folder: Path, n_classes: int):
    idx.write_labels(folder / "range", LABELS)
    message = refusal(folder / "range", idx.read_labels, n_classes=n_classes)
    offset = 8 if n_classes == 1 else 9
    assert f"byte {offset}: expected a label in 0..{n_classes - 1}, but got" in message


def test_damaged_gzip(folder: Path):
    whole = gzip.compress(VALID, mtime=0)
    path = folder / "damaged.gz"
    path.write_bytes(whole[:-9])
    assert f"compressed byte {len(whole) - 9}: expected more gzip data" in refusal(path)
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    assert "incorrect data check" in refusal(path)
    path.write_bytes(whole + b"garbage")
    assert f"after compressed byte {len(whole)}: expected gzip data" in refusal(path)


def test_files_that_cannot_be_read(folder: Path):
    assert "No such file" in refusal(folder / "absent")
    assert "a folder" in refusal(folder)
    assert "No such file" in refusal(folder / "two\nlines")
    assert "possible file name" in refusal(folder / "a\0b")
    assert "name too long" in refusal(folder / ("x" * 5000))
    os.mkfifo(folder / "pipe")  # must not wait for a writer
    assert "a device" in refusal(folder / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_no_permission(folder: Path):
    (folder / "secret").write_bytes(VALID)
    (folder / "secret").chmod(0)
    assert "Permission denied" in refusal(folder / "secret")


def test_limit_is_checked_before_the_content(folder: Path):
    (folder / "limit").write_bytes(VALID)
    assert len(idx.read_images(folder / "limit", limit=46)) == 2
    assert "at most 45 bytes" in refusal(folder / "limit", limit=45)


@pytest.mark.parametrize("count", [1, 2**32 - 1])
def test_gzip_bomb_takes_no_memory(folder: Path, count: int):
    path = folder / "bomb.gz"
    with gzip.open(path, "wb") as file:
        file.write(header(2051, count, 28, 28))
        for _ in range(256):
            file.write(bytes(2**20))
    tracemalloc.start()
    try:
        refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_counts_of_a_pair(folder: Path):
    idx.write_images(folder / "pi", IMAGES)
    idx.write_labels(folder / "pl", np.zeros(3, np.uint8))
    images, labels = idx.read_raw(folder / "pi"), idx.read_raw(folder / "pl")
    with pytest.raises(DataError, match="byte 4: expected 2 labels, as many as images"):
        idx.check_pair(images, labels)


def test_qmnist_label_table(folder: Path):
    table = np.array([[7, 0, 1, 2, 3, 4, 5, 6], [2, 1, 1, 1, 1, 1, 1, 1]], dtype=">i4")
    path = folder / "table"
    path.write_bytes(header(0x0C02, 2, 8) + table.tobytes())
    labels = idx.read_labels(path)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [7, 2]
    table[1, 0] = -1
    path.write_bytes(header(0x0C02, 2, 8) + table.tobytes())
    assert "byte 44: expected a label in 0..9, but got -1" in refusal(path, idx.read_labels)


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.int64), np.zeros(2, np.uint8)]
)
def test_writer_refuses_other_arrays(folder: Path, values: np.ndarray):
    with pytest.raises(ValueError, match="must be uint8 of rank 3"):
        idx.write_images(folder / "never", values)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A valid file of any kind with bytes flipped, cut out, put in, before or after packing."""
    labels = header(2049, 4) + bytes([0, 1, 2, 3])
    table = header(0x0C02, 1, 2) + np.array([[1, 2]], ">i4").tobytes()
    content = bytearray(draw(st.sampled_from([VALID, labels, table])))
    pack_first = draw(st.booleans())
    if pack_first:
        content = bytearray(gzip.compress(bytes(content)))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["flip", "cut", "cut off", "insert"])):
            case "flip" if where < len(content):
                content[where] ^= draw(st.integers(1, 255))
            case "cut":
                del content[where : where + draw(st.integers(1, 8))]
            case "cut off":
                del content[where:]
            case "insert":
                content[where:where] = draw(st.binary(max_size=8))
    return bytes(content) if pack_first or draw(st.booleans()) else gzip.compress(bytes(content))


@given(content=st.one_of(damaged_files(), st.binary(max_size=64)))
def test_any_bytes_are_read_or_refused_in_one_line(folder: Path, content: bytes):
    path = folder / "any"
    path.write_bytes(content)
    for read in (idx.read_images, idx.read_labels, idx.read_raw):
        try:
            read(path, limit=2**20)
        except DataError as error:
            assert len(str(error).splitlines()) == 1
            assert str(path) in str(error)
