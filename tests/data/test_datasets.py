import gzip
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_core.config import DataConfig
from mnist_core.data import (
    clear_cache,
    datasets,
    idx,
    image_arrays,
    load,
    load_confirm,
    load_test,
    storage,
)
from mnist_core.data.registry import DATA_SETS, DataFile, DataSet, by_name
from mnist_core.errors import DataError

TINY_TRAIN = "train-images-idx3-ubyte"


def folder_config(root: Path, **more) -> DataConfig:
    return DataConfig(name="folder", root=str(root), **more)


def refusal(config: DataConfig, read=load) -> str:
    with pytest.raises(DataError) as caught:
        read(config)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_embedded_set_needs_nothing():
    data = load(DataConfig())
    assert (data.name, data.n_classes) == ("mnist-10pct", 10)
    assert (len(data.train), len(data.validation)) == (5_000, 1_000)
    for split in (data.train, data.validation):
        assert split.images.shape[1:] == (28, 28)
        assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert data.sha256 == {file.name: file.sha256 for file in by_name("mnist-10pct").files}


def test_embedded_test_set():
    test = load_test(DataConfig())
    assert len(test) == 1_000
    assert test.labels.bincount().tolist() == [104, 114, 97, 100, 100, 71, 98, 98, 111, 107]


def test_data_holds_no_test_image():
    data, test = load(DataConfig()), load_test(DataConfig())
    seen = {image.numpy().tobytes() for image in (*data.train.images, *data.validation.images)}
    assert not any(image.numpy().tobytes() in seen for image in test.images)


def test_images_and_labels_stay_together(tiny: Path):
    data = load(folder_config(tiny))
    images = idx.read_images(tiny / f"{TINY_TRAIN}.gz")
    label_of = {image.tobytes(): i % 3 for i, image in enumerate(images)}
    for split in (data.train, data.validation):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label_of[image.numpy().tobytes()] == int(label)


def test_validation_images_without_torch_are_the_same(tiny: Path):
    for config in (DataConfig(), folder_config(tiny, split_seed=3)):
        data, found = load(config), image_arrays.validation_images(config)
        assert np.array_equal(found.images, data.validation.images.numpy())
        assert np.array_equal(found.labels, data.validation.labels.numpy())
        assert found.fingerprint == data.fingerprint


def test_validation_images_are_not_downloaded(cache: Path):
    assert "holds no train-images" in refusal(
        DataConfig(name="mnist"), read=image_arrays.validation_images
    )


def test_full_mnist(full_mnist: Path):
    data = load(DataConfig(name="mnist", root=str(full_mnist)))
    assert (len(data.train), len(data.validation)) == (50_000, 10_000)
    assert data.sha256 == {file.name: file.sha256 for file in by_name("mnist").files}
    assert len(load_test(DataConfig(name="mnist", root=str(full_mnist)))) == 10_000


def test_loaded_once_a_process(tiny: Path):
    config = folder_config(tiny)
    assert load(config) is load(folder_config(tiny), torch.device("cpu"))
    assert load_test(config) is load_test(config)
    assert load(config) is not load(folder_config(tiny, split_seed=1))


def test_load_does_not_decode_the_test_images(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = []
    original = idx.Raw.images
    monkeypatch.setattr(
        idx.Raw, "images", lambda raw: decoded.append(raw.path.name) or original(raw)
    )
    load(folder_config(tiny))
    assert decoded == [f"{TINY_TRAIN}.gz"]


def test_fingerprint_changes_with_split_and_content(tiny: Path):
    data = load(folder_config(tiny))
    assert len(data.fingerprint) == 16
    other = load(folder_config(tiny, split_seed=1))
    assert other.split_sha256 != data.split_sha256
    assert other.fingerprint != data.fingerprint
    images = idx.read_images(tiny / f"{TINY_TRAIN}.gz")
    images[0, 0, 0] ^= 1
    idx.write_images(tiny / f"{TINY_TRAIN}.gz", images)
    clear_cache()
    changed = load(folder_config(tiny))
    assert changed.split_sha256 == data.split_sha256
    assert changed.fingerprint != data.fingerprint


def test_fingerprint_is_of_the_content_not_of_the_packing(tiny: Path, tmp_path: Path):
    before = load(folder_config(tiny)).fingerprint
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for path in tiny.iterdir():
        dotted = path.stem.replace("-idx", ".idx")
        (unpacked / dotted).write_bytes(gzip.decompress(path.read_bytes()))
    assert load(folder_config(unpacked)).fingerprint == before


@pytest.mark.parametrize("variant", DataFile(TINY_TRAIN).variants)
def test_file_name_variants(tiny: Path, variant: str):
    path = tiny / f"{TINY_TRAIN}.gz"
    content = path.read_bytes()
    path.unlink()
    packed = variant.endswith(".gz")
    (tiny / variant).write_bytes(content if packed else gzip.decompress(content))
    assert len(load(folder_config(tiny)).train) == 50


def test_folder_counts_its_classes_from_training_labels(tiny: Path):
    assert load(folder_config(tiny)).n_classes == 3
    idx.write_labels(tiny / "t10k-labels-idx1-ubyte.gz", np.full(12, 3, np.uint8))
    clear_cache()
    assert "expected a label in 0..2, but got 3" in refusal(folder_config(tiny), load_test)


def test_folder_may_lack_test_files(tiny: Path):
    (tiny / "t10k-images-idx3-ubyte.gz").unlink()
    (tiny / "t10k-labels-idx1-ubyte.gz").unlink()
    assert len(load(folder_config(tiny)).sha256) == 2
    assert "holds no t10k-images-idx3-ubyte" in refusal(folder_config(tiny), load_test)


def test_refusals(tiny: Path, tmp_path: Path):
    assert "did you mean 'mnist'" in refusal(DataConfig(name="mnits"))
    assert "needs data.root" in refusal(DataConfig(name="folder"))
    assert "holds no train-images" in refusal(folder_config(tmp_path / "absent"))
    assert "expected sha256" in refusal(DataConfig(name="mnist", root=str(tiny)))
    message = refusal(DataConfig(name="mnist", root=str(storage.EMBEDDED)))
    assert "this is a file of 'mnist-10pct': set data.name" in message


def test_a_folder_says_what_it_holds_instead(tmp_path: Path):
    for number in range(3):
        (tmp_path / "sorted" / str(number)).mkdir(parents=True)
        (tmp_path / "sorted" / str(number) / "a.PNG").touch()
    assert "it holds pictures in 3 folders: read are" in refusal(folder_config(tmp_path / "sorted"))
    assert "it holds pictures, but in no folder of a class" in refusal(
        folder_config(tmp_path / "sorted" / "0")
    )
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "mnist_train.csv").touch()
    assert "it holds mnist_train.csv: read are IDX" in refusal(folder_config(tmp_path / "table"))


def test_inconsistent_folders_are_refused(tiny: Path):
    idx.write_labels(tiny / "train-labels-idx1-ubyte.gz", np.zeros(59, np.uint8))
    assert "expected 60 labels" in refusal(folder_config(tiny))
    idx.write_labels(tiny / "train-labels-idx1-ubyte.gz", np.zeros(60, np.uint8))
    assert "two classes or more" in refusal(folder_config(tiny))
    idx.write_labels(tiny / "train-labels-idx1-ubyte.gz", np.arange(60, dtype=np.uint8))
    idx.write_images(tiny / "t10k-images-idx3-ubyte.gz", np.zeros((12, 5, 5), np.uint8))
    assert "expected images of 6x4 as in training, but got 5x5" in refusal(
        folder_config(tiny), load_test
    )
    clear_cache()
    idx.write_images(tiny / f"{TINY_TRAIN}.gz", np.zeros((0, 6, 4), np.uint8))
    idx.write_labels(tiny / "train-labels-idx1-ubyte.gz", np.zeros(0, np.uint8))
    assert "expected images, but got none" in refusal(folder_config(tiny))


def test_one_changed_byte_is_refused(tiny: Path, tiny_set: DataSet, register):
    register(tiny_set)
    config = DataConfig(name="tiny", root=str(tiny))
    load(config)
    images = idx.read_images(tiny / "t10k-images-idx3-ubyte.gz")
    images[0, 0, 0] ^= 1
    idx.write_images(tiny / "t10k-images-idx3-ubyte.gz", images)
    clear_cache()
    assert "t10k-images-idx3-ubyte.gz: expected sha256" in refusal(config)


def unhashed(data_set: DataSet) -> DataSet:
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return replace(data_set, **{n: replace(getattr(data_set, n), sha256="") for n in names})


def test_hashes_are_recorded_at_first_use(tiny: Path, tiny_set: DataSet, cache: Path, register):
    register(unhashed(tiny_set))
    shutil.copytree(tiny, cache / "tiny")
    data = load(DataConfig(name="tiny"))
    assert storage.recorded_sums(cache / "tiny") == data.sha256
    labels = idx.read_labels(cache / "tiny" / "train-labels-idx1-ubyte.gz")
    idx.write_labels(cache / "tiny" / "train-labels-idx1-ubyte.gz", labels[::-1])
    clear_cache()
    assert "(recorded in SHA256SUMS), but got" in refusal(DataConfig(name="tiny"))


def test_recorded_hashes_of_a_folder_are_honoured_and_never_written(tiny: Path):
    data = load(folder_config(tiny))
    assert not (tiny / storage.SUMS).exists()
    wrong = {**data.sha256, TINY_TRAIN: "0" * 64}
    storage.record_sums(tiny, wrong)
    clear_cache()
    assert "recorded in SHA256SUMS" in refusal(folder_config(tiny))


def test_a_damaged_record_is_ignored_and_an_unreadable_one_refused(tiny: Path):
    (tiny / storage.SUMS).write_text(f"nonsense\n{'g' * 64}  {TINY_TRAIN}\n", encoding="utf-8")
    load(folder_config(tiny))
    (tiny / storage.SUMS).write_bytes(b"\xff\xfe")
    clear_cache()
    assert "SHA256SUMS: cannot be read" in refusal(folder_config(tiny))


def test_qmnist_by_its_own_names(tmp_path: Path):
    """Synthetic files: the published names and the int32 table of 8 columns."""
    qmnist = by_name("qmnist")
    for images, labels, n in (
        (qmnist.train_images, qmnist.train_labels, 40),
        (qmnist.test_images, qmnist.test_labels, 20),
    ):
        idx.write_images(tmp_path / f"{images.name}.gz", np.zeros((n, 28, 28), np.uint8))
        table = np.full((n, 8), 12345, dtype=">i4")
        table[:, 0] = np.arange(n) % 10
        header = np.array([0x0C02, n, 8], dtype=">u4").tobytes()
        (tmp_path / f"{labels.name}.gz").write_bytes(gzip.compress(header + table.tobytes()))
    config = DataConfig(name="qmnist", root=str(tmp_path))
    assert (len(load(config).train), len(load(config).validation)) == (33, 7)
    assert load_test(config).labels.tolist() == [i % 10 for i in range(20)]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path))
    assert storage.folder_of(by_name("mnist")) == tmp_path / "mnist"
    monkeypatch.delenv("MNIST_STUDIES_CACHE")
    assert storage.cache_folder().name == "mnist-studies"
    assert storage.folder_of(by_name("mnist"), "x") == Path.cwd() / "x"


def test_registry_is_consistent():
    for name, data_set in DATA_SETS.items():
        assert data_set.name == name
        assert len({file.name for file in data_set.files}) == 4
        assert all(mirror.endswith("/") for mirror in data_set.mirrors)
        for file in data_set.files:
            assert len(file.sha256) in (0, 64)
            algorithm, _, digest = file.gz_digest.partition(":")
            assert (algorithm, len(digest)) in (("", 0), ("md5", 32), ("sha256", 64))


def test_importing_is_light_and_without_effect(tmp_path: Path):
    import subprocess
    import sys

    code = "import sys, mnist_core.data as d; d.load; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not datasets._load.cache_info().currsize


def test_files_of_another_set_are_refused_on_first_use(
    tiny: Path, tiny_set: DataSet, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All sets have files of the same names; a record made from the wrong ones does not help."""
    for name in ("kmnist", "fashion_mnist", "qmnist", "mnist"):
        data_set = by_name(name)
        folder = tmp_path / name
        folder.mkdir()
        for file, own in zip(data_set.files, by_name("mnist-10pct").files, strict=True):
            shutil.copy(storage.EMBEDDED / f"{own.name}.gz", folder / f"{file.name}.gz")
        for record in (False, True):
            if record:
                sums = {
                    f.name: idx.read_raw(folder / f"{f.name}.gz").sha256() for f in data_set.files
                }
                storage.record_sums(folder, sums)
            clear_cache()
            if name == "qmnist":  # its labels are of another kind
                monkeypatch.setattr(idx, "LABEL_TABLE", idx.LABELS)
            message = refusal(DataConfig(name=name, root=str(folder)))
            assert "this is a file of 'mnist-10pct': set data.name" in message
    assert load(folder_config(tmp_path / "kmnist")).n_classes == 10  # a folder may be any


def test_a_published_gz_of_another_set_is_refused(tiny: Path, tiny_set: DataSet, monkeypatch):
    """Of some sets only the hash of the published .gz is known."""
    path = tiny / f"{TINY_TRAIN}.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = DataFile(TINY_TRAIN, gz_digest=f"sha256:{digest}")
    known = replace(by_name("kmnist"), train_images=file)
    monkeypatch.setattr(storage, "DATA_SETS", {"kmnist": known})
    other = replace(by_name("qmnist"), train_images=DataFile(TINY_TRAIN))
    with pytest.raises(DataError, match="this is a file of 'kmnist'"):
        storage.read_verified(other, other.train_images, tiny)
    raw = storage.read_verified(known, file, tiny)
    assert storage.vouched(file, raw, tiny) == "published .gz"
    assert storage.vouched(DataFile(TINY_TRAIN), raw, tiny) == ""


def one_problem(config: DataConfig) -> str:
    """What the data say of their test set; reading it is refused with the same."""
    clear_cache()
    problem = load(config).test_problem
    assert problem and len(problem.splitlines()) == 1
    assert refusal(config, load_test) == problem
    return problem


def test_what_makes_a_test_set_useless_is_known_before_it_is_read(tiny: Path):
    config, labels = folder_config(tiny), tiny / "t10k-labels-idx1-ubyte.gz"
    images = tiny / "t10k-images-idx3-ubyte.gz"
    assert load(config).test_problem == ""
    kept = images.read_bytes(), labels.read_bytes()
    idx.write_labels(labels, np.full(12, 3, np.uint8))  # a class that training has not
    assert "but got 3" in one_problem(config)
    idx.write_labels(labels, np.zeros(11, np.uint8))
    assert "12 labels" in one_problem(config)
    labels.write_bytes(kept[1])
    idx.write_images(images, np.zeros((12, 4, 6), np.uint8))
    assert "6x4" in one_problem(config) and "4x6" in one_problem(config)
    images.unlink()
    assert "holds no t10k-images" in one_problem(config)
    images.write_bytes(kept[0])
    clear_cache()
    assert len(load_test(config)) == 12


def test_a_test_set_that_comes_later_leaves_the_training_data_as_they_were(tiny: Path):
    config, files = folder_config(tiny), [*tiny.glob("t10k-*")]
    whole = load(config)
    contents = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    clear_cache()
    without = load(config)
    assert without.fingerprint == without.train_fingerprint == whole.train_fingerprint
    assert whole.fingerprint != without.fingerprint
    assert whole.is_of(without.fingerprint) and not without.is_of(whole.fingerprint)
    for file, content in contents.items():
        file.write_bytes(content)
    clear_cache()
    told = load(folder_config(tiny, test_set=False))
    assert told.fingerprint == without.fingerprint and "data.test_set" in told.test_problem
    assert "data.test_set" in refusal(folder_config(tiny, test_set=False), load_test)
    assert image_arrays.validation_images(config).is_of(without.fingerprint)


def test_a_known_set_without_its_test_files_needs_to_be_told_so(tmp_path: Path):
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        shutil.copy(storage.EMBEDDED / name, tmp_path / name)
    config = DataConfig(name="mnist-10pct", root=str(tmp_path))
    assert "holds no t10k" in refusal(config) and "data.test_set=false" in refusal(config)
    found = load(config.model_copy(update={"test_set": False}))
    assert len(found.train) == 5000
    assert found.fingerprint == load(DataConfig()).train_fingerprint


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.full(60, 1), "two classes"),
        (np.zeros(60), "two classes"),
        (1 + np.arange(60) % 26, "no image has the label 0"),
        (np.arange(60) % 2 * 4, "no image has the label 1, 2, 3"),
    ],
)
def test_classes_without_an_image_are_refused(tiny: Path, labels, said):
    idx.write_labels(tiny / "train-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    assert said in refusal(folder_config(tiny))


def test_the_embedded_confirm_images_are_seen_nowhere_else():
    confirm, data = load_confirm(DataConfig()), load(DataConfig())
    assert confirm is not None and len(confirm) == 5_000
    seen = {image.numpy().tobytes() for image in (*data.train.images, *data.validation.images)}
    seen |= {image.numpy().tobytes() for image in load_test(DataConfig()).images}
    assert not any(image.numpy().tobytes() in seen for image in confirm.images)
    arrays = image_arrays.confirm_images(image_arrays.Source.of(DataConfig()))
    assert arrays is not None and (arrays.images == confirm.images.numpy()).all()
    assert load_confirm(DataConfig(confirm="none")) is None


def test_half_of_the_validation_images_may_confirm(tiny: Path):
    config = folder_config(tiny, confirm="half")
    whole, half, confirm = load(folder_config(tiny)), load(config), load_confirm(config)
    assert confirm is not None and len(half.validation) + len(confirm) == len(whole.validation)
    assert torch.equal(half.train.images, whole.train.images)
    assert half.fingerprint != whole.fingerprint
    assert load_confirm(folder_config(tiny)) is None  # a folder has no confirm images of its own


def test_missing_confirm_images_are_named(tmp_path: Path):
    for file in by_name("mnist-10pct").files:
        shutil.copy(storage.EMBEDDED / f"{file.name}.gz", tmp_path)
    said = refusal(DataConfig(root=str(tmp_path)), load_confirm)
    assert "confirm-images-idx3-ubyte" in said
