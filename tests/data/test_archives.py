"""CIFAR, SVHN and EMNIST from small archives of the published form, fetched from a local server."""

import dataclasses
import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from scipy import io as scipy_io

from mnist_core.config import DataConfig
from mnist_core.data import cifar_svhn_emnist, datasets, idx, load, load_test
from mnist_core.data.cifar_svhn_emnist import ARCHIVE_SETS
from mnist_core.data.readers import memory
from mnist_core.data.readers.parts import TEST, TRAIN, Wanted
from mnist_core.errors import DataError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)


def add(file, name, content):
    about = tarfile.TarInfo(name)
    about.size = len(content)
    file.addfile(about, io.BytesIO(content))


def cifar(path, labels, files, names):
    records = np.concatenate([labels, IMAGES.transpose(0, 3, 1, 2).reshape(24, -1)], axis=1)
    with tarfile.open(path, "w:gz") as file:
        for name, part in files.items():
            add(file, f"cifar/{name}", records[part].astype(np.uint8).tobytes())
        add(file, f"cifar/{names[0]}", "\n".join(names[1]).encode() + b"\n")


def test_cifar10(tmp_path):
    labels = (np.arange(24) % 10)[:, None]
    files = {
        "data_batch_1.bin": slice(0, 10),
        "data_batch_2.bin": slice(10, 20),
        "test_batch.bin": slice(20, 24),
    }
    names = ("batches.meta.txt", [f"thing{k}" for k in range(10)])
    cifar(tmp_path / "cifar-10-binary.tar.gz", labels, files, names)
    parts = ARCHIVE_SETS["cifar10"].read(tmp_path, Wanted(), None)
    assert np.array_equal(parts.of[TRAIN].images, IMAGES[:20])
    assert np.array_equal(parts.of[TEST].labels, labels[20:, 0])
    assert parts.class_names == tuple(names[1])


def test_cifar100_has_fine_labels(tmp_path):
    labels = np.column_stack([np.arange(24) % 3, np.arange(24) % 4])
    files = {"train.bin": slice(0, 20), "test.bin": slice(20, 24)}
    names = ("fine_label_names.txt", list("abcd"))
    cifar(tmp_path / "cifar-100-binary.tar.gz", labels, files, names)
    parts = ARCHIVE_SETS["cifar100"].read(tmp_path, Wanted(), None)
    assert np.array_equal(parts.of[TRAIN].labels, labels[:20, 1])
    assert parts.class_names == tuple("abcd")


def test_svhn_counts_from_zero(tmp_path):
    labels = (np.arange(24) % 10 + 1)[:, None]
    for part, some in (("train", slice(0, 20)), ("test", slice(20, 24))):
        content = {"X": IMAGES[some].transpose(1, 2, 3, 0), "y": labels[some].astype(np.uint8)}
        scipy_io.savemat(tmp_path / f"{part}_32x32.mat", content)
    parts = ARCHIVE_SETS["svhn"].read(tmp_path, Wanted(), None)
    assert np.array_equal(parts.of[TRAIN].images, IMAGES[:20])
    assert np.array_equal(parts.of[TRAIN].labels, labels[:20, 0] % 10)
    assert parts.class_names == ()


def emnist(path, split, labels, mapping):
    with zipfile.ZipFile(path, "w") as file:
        for part, some in (("train", slice(0, 20)), ("test", slice(20, 24))):
            grey = np.ascontiguousarray(IMAGES[some, :28, :28, 0].transpose(0, 2, 1))
            for kind, values in (("images-idx3", grey), ("labels-idx1", labels[some])):
                name = f"emnist-{split}-{part}-{kind}-ubyte"
                draft = path.parent / name
                write = idx.write_images if values.ndim == 3 else idx.write_labels
                write(draft, values)
                file.writestr(f"gzip/{name}.gz", gzip.compress(draft.read_bytes()))
        file.writestr(f"gzip/emnist-{split}-mapping.txt", mapping)


def test_emnist_is_turned_upright_and_counts_from_zero(tmp_path):
    labels = (np.arange(24) % 3 + 1).astype(np.uint8)
    emnist(tmp_path / "gzip.zip", "letters", labels, "1 65 97\n2 66 98\n3 67 99\n")
    parts = ARCHIVE_SETS["emnist_letters"].read(tmp_path, Wanted(), None)
    assert np.array_equal(parts.of[TRAIN].images, IMAGES[:20, :28, :28, 0])
    assert np.array_equal(parts.of[TRAIN].labels, labels[:20].astype(int) - 1)
    assert parts.class_names == ("A", "B", "C")


def test_all_names_are_known():
    assert {"cifar10", "cifar100", "svhn"} <= ARCHIVE_SETS.keys()
    assert sum(name.startswith("emnist_") for name in ARCHIVE_SETS) == 6


@pytest.fixture
def server(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_an_archive_is_fetched_checked_and_loaded(tmp_path, server, monkeypatch):
    served, address = server
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    datasets.clear_cache()
    file = served / "gzip.zip"
    emnist(file, "digits", (np.arange(24) % 2).astype(np.uint8), "0 48\n1 49\n")
    right = f"md5:{hashlib.md5(file.read_bytes()).hexdigest()}"
    known = ARCHIVE_SETS["emnist_digits"]
    of = cifar_svhn_emnist.Archive("gzip.zip", f"{address}gzip.zip", right)
    folder = tmp_path / "cache" / "emnist"
    wrong = dataclasses.replace(of, digest="md5:0")
    with pytest.raises(DataError, match=r"by hand into .*emnist"):
        cifar_svhn_emnist.download_archives(dataclasses.replace(known, archives=(wrong,)), folder)
    cifar_svhn_emnist.download_archives(dataclasses.replace(known, archives=(of,)), folder)
    config = DataConfig(name="emnist_digits")
    data = load(config)
    assert data.name == "emnist_digits" and data.n_classes == 2 and data.about.class_names == ()
    assert (len(data.train), len(data.validation), len(load_test(config))) == (17, 3, 4)


def test_a_damaged_archive_is_one_line(tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"no archive")
    (tmp_path / "gzip.zip").write_bytes(b"no archive")
    for part in ("train", "test"):
        (tmp_path / f"{part}_32x32.mat").write_bytes(b"no archive")
    for name in ("cifar10", "svhn", "emnist_mnist"):
        with pytest.raises(DataError, match="cannot be read") as caught:
            ARCHIVE_SETS[name].read(tmp_path, Wanted(), None)
        assert "\n" not in str(caught.value)


def test_more_images_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    for known in ARCHIVE_SETS.values():
        with pytest.raises(DataError, match="of memory are free"):
            known.decode(tmp_path, Wanted(), None)  # there are no files that could be read
