"""``python -m mnist_core predict``: its accuracy is the logged one, however a model is named."""

import csv
import json
import os
import shutil
import sys

import numpy as np
import pytest
import tomli_w
from PIL import Image

from mnist_core import __main__ as program
from mnist_core.checkpoints import checkpoint
from mnist_core.config import DataConfig
from mnist_core.console import command_line
from mnist_core.data import idx, load, load_test

KINDS = {
    "classes": ["--model", "lenet5", "--set", "optim.lr=0.005"],
    "averaged": [
        "--model",
        "flex_cnn",
        "--set",
        "model.width=8",
        "--set",
        "average.name=ema",
        "--set",
        "average.decay=0.9",
    ],
    "pairs": [
        "--model",
        "siamese",
        "--set",
        "pairs.per_epoch=250",
        "--set",
        "pairs.evaluation=200",
    ],
}


def called(*words):
    """Run the program; return its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        command_line.run(program.app, "python -m mnist_core")
    return caught.value.code or 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a folder with a run of each kind, by its name."""
    folder = tmp_path_factory.mktemp("runs")
    for name, words in KINDS.items():
        settings = ["batch_size=100", "reports_per_epoch=2"]
        more = [part for text in settings for part in ("--set", text)]
        fixed = [
            "--epochs",
            1,
            "--device",
            "cpu",
            "--set",
            "threads=1",
            "--no-pictures",
            "--out",
            folder,
        ]
        assert called("train", *words, *more, *fixed, "--name", name) == 0
    return folder


def read(written):
    with written.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def predict(runs, capsys):
    def call(*words):
        capsys.readouterr()
        code = called("predict", *words, "--runs", runs, "--device", "cpu")
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return call


@pytest.fixture
def model(runs):
    return runs / "cpu" / "classes" / "last.safetensors"


def facts(runs, name):
    return json.loads((runs / "cpu" / name / "run.json").read_text())


@pytest.mark.parametrize("which", ["last", "best"])
@pytest.mark.parametrize("name", KINDS)
def test_its_accuracy_is_the_logged_one(predict, runs, tmp_path, name, which):
    written = tmp_path / "new" / "predictions.csv"
    code, out, err = predict(name, "--checkpoint", which, "--out", written)
    assert (code, err) == (0, [])
    recorded = facts(runs, name)
    logged = recorded["metrics"] if which == "last" else recorded["best"]["metrics"]
    assert f"its training logged an accuracy of {logged['val_accuracy']:.4f}: the same" in out
    rows = read(written)
    right = sum(row["predicted"] == row["label"] for row in rows)
    assert right / len(rows) == logged["val_accuracy"]
    assert len(rows) == (200 if name == "pairs" else 1000)
    if which == "last":  # the same figures as the training's own confusion matrix
        order = {"different": 0, "same": 1}
        counts = np.zeros_like(recorded["confusion"])
        for row in rows:
            places = (row["label"], row["predicted"])
            counts[
                tuple(order.get(place) if name == "pairs" else int(place) for place in places)
            ] += 1
        assert counts.tolist() == recorded["confusion"]


@pytest.mark.parametrize("name", ["classes", "pairs"])
def test_a_study_s_best_config(predict, runs, tmp_path, name):
    source = runs / "cpu" / name / "last.safetensors"
    kept = checkpoint.load(source)
    target = tmp_path / "checkpoints" / "confirm" / "3.safetensors"
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)
    record = {"confirm_trial": 3, "val_accuracy": kept.metrics["val_accuracy"]}
    tables = {**kept.config.to_dict(), "record": record}
    (tmp_path / "best_config.toml").write_text(tomli_w.dumps(tables))
    for what in (tmp_path, tmp_path / "best_config.toml"):
        code, out, err = predict(what)
        assert (code, err) == (0, [])
        assert f"logged an accuracy of {record['val_accuracy']:.4f}: the same" in out


def test_an_accuracy_that_is_another_is_said(predict, model, tmp_path):
    kept = checkpoint.load(model)
    metrics = {**kept.metrics, "val_accuracy": kept.metrics["val_accuracy"] + 1e-12}
    path = tmp_path / "odd.safetensors"
    checkpoint.save(path, kept.model, kept.config, n_classes=10, metrics=metrics)
    assert "NOT the same" in predict(path)[1]


def test_another_data_set_has_no_logged_accuracy(predict, model, tmp_path):
    data = load(DataConfig())
    for part, split in (("train", data.train), ("t10k", load_test(DataConfig()))):
        idx.write_images(tmp_path / f"{part}-images-idx3-ubyte", split.images[:400].numpy())
        labels = split.labels[:400].numpy().astype(np.uint8)
        idx.write_labels(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    code, out, err = predict(model, "--dataset", "folder", "--set", f"data.root={tmp_path}")
    assert (code, err) == (0, [])
    assert "validation images of folder" in out and "logged" not in out
    assert "warning: the model was trained on 67 of these 67 images" in out


def test_test_images_are_recorded(predict, runs):
    name = "averaged"
    for times in (1, 2):
        code, out, _ = predict(name, "--split", "test")
        readings = facts(runs, name)["test_readings"]
        assert (code, len(readings)) == (0, times)
        assert readings[-1]["by"] == "predict" and readings[-1]["n"] == 1000
        assert ("before; the first time" in out) == (times == 2)
    assert readings[0]["metrics"] == readings[1]["metrics"]
    # Named as a file, they are the same images.
    code, out, _ = predict(name, embedded_test_images())
    assert code == 0 and "these are the test images of mnist-10pct" in out
    last = facts(runs, name)["test_readings"][-1]
    assert last["metrics"]["accuracy"] == readings[0]["metrics"]["accuracy"]
    assert last["confusion"] == readings[0]["confusion"]


def embedded_test_images():
    from mnist_core.data.storage import EMBEDDED

    return EMBEDDED / "t10k-images-idx3-ubyte.gz"


def test_an_idx_file(predict, runs, model, tmp_path):
    data = load(DataConfig())
    images = tmp_path / "my-images-idx3-ubyte.gz"
    idx.write_images(images, data.validation.images.numpy())
    code, out, err = predict(model, images)
    assert (code, err) == (0, []) and "accuracy" not in out and "least sure" in out
    labels = data.validation.labels.numpy().astype(np.uint8)
    idx.write_labels(tmp_path / "my-labels-idx1-ubyte", labels)
    code, out, err = predict(model, images)
    assert (code, err) == (0, [])
    logged = facts(runs, "classes")["metrics"]["val_accuracy"]
    assert f"accuracy {logged:.4f}, " in out and "my-labels-idx1-ubyte" in out


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of twelve digits as dark ink on white paper, each of 100x140 pixels."""
    data = load(DataConfig())
    folder = tmp_path / "photos"
    for i in range(12):
        large = Image.fromarray(data.validation.images[i].numpy()).resize((84, 84))
        paper = Image.new("L", (100, 140), 255)
        paper.paste(Image.fromarray(255 - np.asarray(large)), (9, 40))
        place = folder / str(int(data.validation.labels[i])) / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        paper.save(place)
    return folder


def test_pictures(predict, model, pictures, tmp_path):
    written = tmp_path / "p.csv"
    code, out, err = predict(model, pictures, "--out", written, "--show")
    assert (code, err) == (0, [])
    assert "as the model sees them" in out and "@@" in out
    assert "true classes" in out and "inverted, centred" in out
    rows = read(written)
    right = sum(row["predicted"] == row["label"] for row in rows)
    assert len(rows) == 12 and right >= 9  # one epoch: some 90 %
    assert f"accuracy {right / 12:.4f}, " in out
    (pictures / "3" / "bad.png").parent.mkdir(exist_ok=True)
    (pictures / "3" / "bad.png").write_text("no picture")
    code, out, err = predict(model, pictures)
    assert code == 1 and len(err) == 1 and "bad.png: " in err[0]
    assert f"accuracy {right / 12:.4f}, " in out


def test_pairs_of_pictures(predict, pictures, tmp_path):
    two = sorted(pictures.rglob("*.png"))[:2]
    written = tmp_path / "p.csv"
    code, out, err = predict("pairs", *two, "--out", written)
    assert (code, err) == (0, []) and "the same from a score of" in out
    rows = read(written)
    assert [rows[0]["first"], rows[0]["second"]] == [str(path) for path in two]
    same = float(rows[0]["score"]) >= float(rows[0]["threshold"])
    assert rows[0]["predicted"] == ("same" if same else "different")
    code, out, err = predict("pairs", pictures)
    assert (code, err) == (0, []) and "of 6 pairs" in out
    code, out, err = predict("pairs", two[0])
    assert code == 1 and len(err) == 1 and "give an even number" in err[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere"),
        (["MODEL", "nowhere.png"], "nowhere.png: cannot be read: No such file"),
        (["MODEL", "--split", "train"], "--split: must be validation or test, but got 'train'"),
        (["MODEL", "x.png", "--split", "test"], "--split: names a data set, but so does x.png"),
        (["MODEL", "x.png", "--dataset", "mnist"], "--dataset: names a data set"),
        (["MODEL", "--dataset", "mnst"], "unknown data set 'mnst'"),
        (["MODEL", "--raw"], "--raw and --invert are for pictures"),
        (["MODEL", "IDX", "--invert"], "--raw and --invert are for pictures"),
        (["MODEL", "--set", "epochs=2"], "--set epochs: the model is trained"),
        (["MODEL", "MODEL"], "picture"),
        (["MODEL", "SMALL"], "small: the model takes images of 28x28, but these are 20x24"),
        (["MODEL", "--out", "FOLDER"], "is a folder; name a file"),
        (["MODEL", "--out", "x" * 300 + ".csv"], ".csv: cannot be written: File name too long"),
        (["MODEL", "--out", "PIPE"], "is a device or a pipe; name a file"),
        (["MODEL", "--out", "/proc/nowhere/p.csv"], "--out: "),
        (["MODEL", "--checkpoint", "best"], "--checkpoint best"),
        (["classes", "--checkpoint", "third"], "--checkpoint: must be last or best"),
    ],
)
def test_mistakes_are_one_line(predict, model, tmp_path, words, said):
    idx.write_images(tmp_path / "small", np.zeros((2, 20, 24), np.uint8))
    os.mkfifo(tmp_path / "pipe")
    places = {
        "PIPE": tmp_path / "pipe",
        "SMALL": tmp_path / "small",
        "MODEL": model,
        "IDX": embedded_test_images(),
        "FOLDER": tmp_path,
    }
    code, out, err = predict(*(places.get(word, word) for word in words))
    assert (code, out, len(err)) == (1, "", 1)
    assert said in err[0]
