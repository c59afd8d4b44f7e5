import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from mnist_core.data import idx, storage
from mnist_core.data.cli import app
from mnist_core.data.registry import DATA_SETS, DataSet
from mnist_core.data.text_pictures import picture
from mnist_core.errors import UserError


def run(*arguments: str) -> Result:
    """Call the commands as a mounting program does: an error is one line, and code 1."""
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, UserError):
        assert len(str(result.exception).splitlines()) == 1
        result.exit_code = 1
    elif result.exception and not isinstance(result.exception, SystemExit | typer.Exit):
        raise result.exception
    return result


def test_show_lists_every_data_set():
    output = run("show").output
    for name in DATA_SETS:
        assert name in output
    assert "embedded" in output


def test_show_one():
    output = run("show", "mnist-10pct").output
    for words in ("5,000", "1,000", "28x28", "CC BY-SA 3.0", "5aaa5a8979fc", "published"):
        assert words in output
    assert "@@" in output


def test_show_never_downloads():
    result = run("show", "kmnist")
    assert result.exit_code == 1
    assert "kmnist is not here; get it with" in str(result.exception)


def test_verify_prints_a_line_a_file():
    result = run("verify", "mnist-10pct")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == ["ok"] * 4


def test_verify_all_takes_what_is_here(tiny: Path, tiny_set: DataSet, cache: Path, monkeypatch):
    monkeypatch.setattr("mnist_core.data.cli.DATA_SETS", {**DATA_SETS, "tiny": tiny_set})
    assert len(run("verify").output.splitlines()) == 4
    shutil.copytree(tiny, cache / "tiny")
    assert len(run("verify").output.splitlines()) == 8


@pytest.fixture
def embedded_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(storage.EMBEDDED, tmp_path / "copy"))


@pytest.mark.parametrize("name", [file.name for file in DATA_SETS["mnist-10pct"].files])
def test_verify_finds_one_changed_byte(embedded_copy: Path, name: str):
    path = embedded_copy / f"{name}.gz"
    content = idx.read_raw(path).content
    path.unlink()
    content[-1] ^= 1
    (embedded_copy / name).write_bytes(content)
    result = run("verify", "mnist-10pct", "--root", str(embedded_copy))
    assert result.exit_code == 1
    bad = [line for line in result.output.splitlines() if line.startswith("BAD")]
    assert len(bad) == 1
    assert name in bad[0]


def test_verify_finds_a_missing_file(embedded_copy: Path):
    (embedded_copy / "t10k-labels-idx1-ubyte.gz").unlink()
    result = run("verify", "mnist-10pct", "--root", str(embedded_copy))
    assert result.exit_code == 1
    assert "holds no t10k-labels-idx1-ubyte" in result.output


def test_verify_full_mnist(full_mnist: Path):
    assert run("verify", "mnist", "--root", str(full_mnist)).exit_code == 0


def test_folder(tiny: Path):
    assert run("verify", "folder", "--root", str(tiny)).output.count("no hash known") == 4
    assert "6x4 pixels, 3 classes" in run("show", "folder", "--root", str(tiny)).output


def test_mistakes_are_one_line(tmp_path: Path):
    assert "did you mean 'kmnist'" in str(run("prepare", "kmnst").exception)
    assert "needs a NAME" in str(run("verify", "--root", str(tmp_path)).exception)
    assert "needs data.root" in str(run("show", "folder").exception)


def test_prepare_what_needs_no_download():
    assert run("prepare", "mnist-10pct").exit_code == 0


def test_prepare_downloads(tiny: Path, tiny_set: DataSet, cache: Path, register):
    known = register(replace(tiny_set, mirrors=(f"{tiny.as_uri()}/",)))
    result = run("prepare", known.name)
    assert result.exit_code == 0
    assert "4 files fetched" in result.output
    assert "0 files fetched" in run("prepare", known.name).output


def test_prepare_says_what_to_do_by_hand(tiny_set: DataSet, cache: Path, register):
    register(replace(tiny_set, mirrors=("http://127.0.0.1:9/",)))
    result = run("prepare", "tiny")
    assert result.exit_code == 1
    assert f"by hand into {cache / 'tiny'}" in str(result.exception)


def test_picture():
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, :, 1] = 255
    assert picture(image) == " @\n ="
    assert picture(np.full((5, 2, 2), 255, np.uint8), 6) == "@@  @@\n@@  @@"
    assert picture(np.full((3, 2, 2), 255, np.uint8), 1, max_rows=3) == "@@\n@@\n@@"


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    """Folder with 12 colour pictures of 8x8 in each of two classes."""
    for k, name in enumerate(("apple", "kiwi")):
        (tmp_path / "fruit" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.full((8, 8, 3), 100 * k + i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "fruit" / name / f"{i}.png")
    return tmp_path / "fruit"


def test_show_own_images(fruit: Path):
    output = run("show", str(fruit)).output
    for words in ("fruit: pictures", "8x8x3 pixels, 2 classes", "apple", "validation", "test"):
        assert words in output
    assert "4x4 pixels" in run("show", str(fruit), "--size", "4", "--channels", "1").output


def test_verify_own_images(fruit: Path):
    result = run("verify", str(fruit))
    assert result.exit_code == 0
    assert "24 images of 8x8x3  2 classes" in result.output
    run("show", str(fruit))  # now they are in the cache, which verify does not use
    (fruit / "kiwi" / "3.png").write_bytes(b"no picture")
    result = run("verify", str(fruit))
    assert result.exit_code == 1
    assert result.output.startswith("BAD") and "3.png" in result.output


def test_archives_are_named_but_not_downloaded():
    shown = run("show", "cifar10")
    assert shown.exit_code == 1
    assert "cifar10 is not here; get it with" in str(shown.exception)
    verified = run("verify", "svhn")
    assert verified.exit_code == 1
    assert verified.output.startswith("BAD")


def test_verify_finds_a_damaged_archive(tmp_path: Path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"damaged")
    result = run("verify", "cifar10", "--root", str(tmp_path))
    assert result.exit_code == 1
    assert "md5" in result.output


def test_size_is_checked(fruit: Path):
    assert run("show", str(fruit), "--channels", "2").exit_code == 1
    assert run("verify", str(fruit / "missing")).exit_code == 1
