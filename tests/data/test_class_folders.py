"""Other files in a folder of pictures: a note names them, or the folder is refused."""

import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mnist_core.data import datasets
from mnist_core.data.cli import app
from mnist_core.data.readers import reader_of
from mnist_core.data.readers.class_folders import listing
from mnist_core.data.readers.parts import TEST, TRAIN, VALIDATION, Wanted
from mnist_core.errors import DataError


def pictures(root, n=4, classes=("apple", "kiwi"), mode="L"):
    for k, name in enumerate(classes):
        for i in range(n):
            picture(root / name / f"{i}.png", 40 * k + i, mode)
    return root


def picture(path, level=9, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).convert(mode).save(path)


def notes(root, **wanted):
    found = reader_of(root)(root, Wanted(**wanted), None).notes
    assert all("\n" not in note for note in found)
    return found


def only(found):
    (note,) = found
    return note


def refused(root):
    with pytest.raises(DataError) as caught:
        listing(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def parts(tmp_path):
    for part in ("train", "val", "test"):
        pictures(tmp_path / "all" / part)
    return tmp_path / "all"


def test_usual_folders_have_no_notes(tmp_path, parts):
    assert notes(parts) == ()
    assert listing(parts).files.keys() == {TRAIN, VALIDATION, TEST}
    assert notes(pictures(tmp_path / "fruit")) == ()
    assert notes(pictures(tmp_path / "colour", mode="RGB")) == ()


def test_a_folder_like_a_class_beside_train_is_refused(parts):
    picture(parts / "cats" / "1.png")
    said = refused(parts)
    assert "cats/ lies beside train/" in said and "1 picture;" in said
    (parts / "cats").rename(parts / ".cats")
    assert notes(parts) == ()


def test_other_folders_beside_train_are_noted(parts):
    pictures(parts / "extra")
    (parts / "annotations").mkdir()
    assert "extra/ is beside train/" in only(notes(parts))


def test_two_folders_of_one_part(parts):
    pictures(parts / "valid")
    assert "both folders of validation" in refused(parts)


@pytest.mark.parametrize("where", ["", "train", "test"])
def test_pictures_in_no_class_are_noted(parts, where):
    picture(parts / where / "loose.png")
    assert "1 picture is left out" in only(notes(parts))


def test_files_that_are_not_read_are_noted(tmp_path):
    root = pictures(tmp_path / "fruit")
    for name in ("1.heic", "2.HEIC", "notes.txt", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "kiwi" / name).write_text("")
    note = only(notes(root))
    assert "3 files are left out: .heic (2), .txt (1)" in note and "kiwi/1.heic" in note


def test_folders_in_a_class(tmp_path):
    root = pictures(tmp_path / "pets")
    pictures(root / "animals", classes=("cats", "dogs"))
    picture(root / "birds" / "images" / "0.png")  # one folder in a class is usual
    note = only(notes(root))
    assert "animals/ (cats, dogs) are read as one class" in note
    pictures(root / "plants", classes=("fir", "oak"))
    assert "those of 1 more" in only(notes(root))


def test_a_folder_in_a_folder(tmp_path):
    pictures(tmp_path / "download" / "fruit")
    assert f"did you mean {tmp_path / 'download' / 'fruit'}?" in refused(tmp_path / "download")


def test_a_few_pictures_in_colour_are_named(tmp_path):
    root = pictures(tmp_path / "fruit")
    assert notes(root) == ()
    picture(root / "kiwi" / "3.png", 9, "RGB")
    note = only(notes(root))
    assert "1 picture of 8 is in colour, e.g. kiwi/3.png" in note and "data.channels=1" in note
    assert notes(root, channels=1) == notes(root, channels=3) == ()
    for i in range(3):
        picture(root / "kiwi" / f"{i}.png", 9, "RGB")
        picture(root / "apple" / f"{i}.png", 9, "RGB")
    assert notes(root) == ()  # most are


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    root = pictures(tmp_path / "fruit")
    pictures(tmp_path / "elsewhere", classes=("lemon", "more"))
    os.symlink(tmp_path / "elsewhere" / "lemon", root / "lemon")
    os.symlink(tmp_path / "elsewhere" / "more", root / "kiwi" / "more")
    os.symlink(root, root / "apple" / "up")
    os.symlink(root / "kiwi", root / "kiwi" / "again")
    found = listing(root)
    assert found.class_names == ("apple", "kiwi", "lemon")
    assert np.bincount(found.labels[TRAIN]).tolist() == [4, 8, 4]
    os.symlink(tmp_path / "nothing", root / "kiwi" / "broken.png")
    with pytest.raises(DataError, match=r"broken\.png: cannot be read"):
        notes(root)


def test_notes_are_shown_at_every_start(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    root = pictures(tmp_path / "fruit")
    (root / "kiwi" / "1.heic").write_text("")
    config = datasets.DataConfig(name=str(root))
    first = datasets.prepare(config)
    assert [".heic" in note for note in first.notes].count(True) == 1
    datasets.clear_cache()
    assert datasets.prepare(config) == first  # from the cache
    for command in ("show", "verify"):
        assert ".heic (1)" in CliRunner().invoke(app, [command, str(root)]).stdout


def test_files_of_desktops_do_not_make_the_cache_stale(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    config = datasets.DataConfig(name=str(pictures(tmp_path / "fruit")))
    datasets.prepare(config)
    for name in (".DS_Store", "Thumbs.db", "kiwi/.DS_Store"):
        (tmp_path / "fruit" / name).write_text("")
    monkeypatch.setattr("mnist_core.data.readers.folder.pictures.decode", None)
    datasets.prepare(config)


def test_folders_without_pictures_that_are_read(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "heic" / name).mkdir(parents=True)
        (tmp_path / "heic" / name / "1.heic").write_text("")
    with pytest.raises(DataError, match=r"files \.heic; pictures are \.png"):
        reader_of(tmp_path / "heic")
    picture(tmp_path / "flat" / "cat.1.png")
    with pytest.raises(DataError, match="in no folder of a class"):
        reader_of(tmp_path / "flat")


@pytest.mark.parametrize(
    ("classes", "n", "test_set", "needed"),
    [(2, 1, True, 3), (3, 1, True, 3), (9, 1, True, 3), (2, 1, False, 2), (9, 1, False, 2)],
)
def test_too_few_pictures_say_how_many_are_needed(
    tmp_path, monkeypatch, classes, n, test_set, needed
):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    names = [f"c{k}" for k in range(classes)]
    root = pictures(tmp_path / "fruit", classes=names, n=n)
    config = datasets.DataConfig(name=str(root), test_set=test_set)
    with pytest.raises(DataError, match=f"fruit: .* {needed} images of each class.*val/"):
        datasets.load(config)
    datasets.load(
        datasets.DataConfig(
            name=str(pictures(tmp_path / "more", classes=names, n=needed)), test_set=test_set
        )
    )


def test_one_picture_of_a_class_is_enough_beside_parts_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    for part in ("train", "val", "test"):
        pictures(tmp_path / "fruit" / part, n=1)
    datasets.load(datasets.DataConfig(name=str(tmp_path / "fruit")))


@pytest.mark.parametrize(
    ("mode", "end", "channels"),
    [
        ("RGBA", "png", 3),
        ("LA", "PNG", 1),
        ("P", "gif", 3),
        ("1", "png", 1),
        ("I;16", "png", 1),
        ("I;16", "tif", 1),
        ("CMYK", "JPG", 3),
        ("RGB", "webp", 3),
        ("RGB", "jfif", 3),
        ("L", "bmp", 1),
    ],
)
def test_kinds_of_pictures(tmp_path, mode, end, channels):
    for name in ("größer", "猫 [x]"):
        (tmp_path / name).mkdir()
        for level in range(3):
            one = Image.new("RGB", (8, 6), (40 * level, 90, 9))
            if mode == "I;16":
                one = Image.fromarray(np.full((6, 8), 256 * 90, np.uint16))
            else:
                one = one.convert(mode)
            kind = "JPEG" if end == "jfif" else None
            one.save(tmp_path / name / f"ä {level}.{end}", format=kind)
    found = reader_of(tmp_path)(tmp_path, Wanted(), None)
    assert found.class_names == ("größer", "猫 [x]") and found.notes == ()
    assert found.of[TRAIN].images.shape == (6, 6, 8, 3)[: 3 + (channels == 3)]


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    pictures(tmp_path / "fruit", classes=("apple", "kiwi"))
    for file in sorted((tmp_path / "fruit").rglob("*.png")):
        turned = Image.Exif()
        turned[0x112] = 6  # turn right by 90 degrees
        Image.new("L", (12, 8), 9).save(file.with_suffix(".jpg"), exif=turned)
        file.unlink()
    found = reader_of(tmp_path / "fruit")(tmp_path / "fruit", Wanted(), None)
    assert found.of[TRAIN].images.shape[1:] == (12, 8)
