"""Predictions: equal to the evaluation's, to plain torch, and to what is written and printed."""

import csv
import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_core import models
from mnist_core.checkpoints import evaluate_checkpoint
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.data import idx
from mnist_core.errors import ConfigError, DataError
from mnist_core.images import Images
from mnist_core.prediction import predict, prediction_inputs, prediction_tables
from mnist_core.prediction.prediction_inputs import UNKNOWN


@pytest.fixture
def kept(config):
    """Return a model that nobody has trained."""

    def build(name="lenet5", **changes):
        torch.manual_seed(0)
        settings = config(model__name=name, **changes)
        model = models.build(settings.model, 10).eval()
        return Checkpoint(
            model=model, config=settings, n_classes=10, metrics={"val_threshold": 0.1}
        )

    return build


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_it_is_the_evaluation_image_by_image(kept, few, precision):
    model = kept(precision=precision)
    found = predict.classify(model, few.validation.images)
    expected = evaluate_checkpoint.judge(model, few.validation)
    assert torch.equal(found.predicted, expected.predictions)
    told = predict.evaluation(found, few.validation.labels)
    assert told.confusion.tolist() == expected.confusion.tolist()
    assert told.loss == pytest.approx(expected.loss, rel=1e-6)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert told.metrics[name] == expected.metrics[name]


def test_it_is_what_plain_torch_says(kept, few):
    model = kept()
    images = few.validation.images[:20]
    with torch.no_grad():
        inputs = (images.float() / 255 - 0.1307) / 0.3081
        shares = model.model(inputs.unsqueeze(1)).softmax(dim=1).double()
    found = predict.classify(model, images)
    torch.testing.assert_close(found.probabilities, shares, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.ranking()[:, 0], found.predicted)
    assert torch.equal(found.probability, found.probabilities.max(dim=1).values)


@pytest.mark.parametrize(
    ("name", "loss"), [("siamese", "bce"), ("siamese", "contrastive"), ("pair_concat", "bce")]
)
def test_pairs_are_scored_as_in_the_evaluation(kept, few, name, loss):
    model = kept(name, loss__name=loss, pairs__evaluation=40)
    expected = evaluate_checkpoint.judge(model, few.validation)
    assert predict.compares_pairs(model)
    images = few.validation.images[expected.pairs.flatten()]
    found = predict.compare_pairs(model, images)
    # Not to the last bit: other images are computed together.
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    assert found.threshold == expected.threshold == 0.1
    assert torch.equal(found.same, found.scores >= 0.1)


def test_what_no_model_takes(kept, few, refusal):
    assert not predict.compares_pairs(kept())
    small = few.validation.images[:, :20, :20]
    said = "the model takes images of 28x28, but these are 20x20"
    assert said in refusal(ConfigError, predict.classify, kept(), small)
    pairs = kept("siamese")
    for n in (0, 1, 3):
        images = few.validation.images[:n]
        assert f"but got {n}; give an even" in refusal(
            ConfigError, predict.compare_pairs, pairs, images
        )
    old = dataclasses.replace(pairs, metrics={})
    assert "has no val_threshold" in refusal(
        ConfigError, predict.compare_pairs, old, few.validation.images[:2]
    )


def picture(path, number=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:20, 5 : 6 + number] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_in_the_order_of_their_names(tmp_path):
    for name in ("10.png", "2.png", "a/1.JPG", "B.png", "1.png", ".hidden.png", "notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("not a picture")
        else:
            picture(tmp_path / name)
    found = prediction_inputs.gather([tmp_path, tmp_path / "1.png"], n_classes=10)
    names = [Path(name).relative_to(tmp_path).as_posix() for name in found.names]
    assert names == ["1.png", "2.png", "10.png", "a/1.JPG", "B.png", "1.png"]
    assert found.labels == [UNKNOWN] * 6 and found.indices == [None] * 6
    assert found.pictures and not found.problems
    (remark,) = found.remarks
    assert "1 hidden picture" in remark and "(.hidden.png)" in remark


def test_folders_may_name_the_classes(tmp_path):
    for name in ("3/a.png", "3/b.png", "07/c.png"):
        picture(tmp_path / name)
    found = prediction_inputs.gather([tmp_path], n_classes=10)
    assert found.labels == [3, 3, 7]
    assert "true classes" in found.remarks[0]
    picture(tmp_path / "12/d.png")  # there is no class 12, so these are no classes
    found = prediction_inputs.gather([tmp_path], n_classes=10)
    assert found.labels == [UNKNOWN] * 4
    assert "accuracy" in found.remarks[0] and " in 12," in found.remarks[0]


@pytest.mark.parametrize(
    "name", ["3/.ipynb_checkpoints/a.png", ".thumbnails/a.png", "__MACOSX/a.png"]
)
def test_hidden_folders_do_not_take_the_classes_away(tmp_path, name):
    for path in ("3/a.png", "7/c.png", name):
        picture(tmp_path / path)
    found = prediction_inputs.gather([tmp_path], n_classes=10)
    assert found.labels == [3, 7]
    left, taken = found.remarks
    assert "hidden" in left and any(part in left for part in name.split("/")) and "true" in taken


def test_a_bad_picture_of_a_folder_is_named_and_left_out(tmp_path, refusal):
    picture(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    found = prediction_inputs.gather([tmp_path], n_classes=10)
    assert len(found) == 1 and len(found.problems) == 1 and "bad.png" in found.problems[0]
    said = refusal(
        DataError,
        prediction_inputs.gather,
        [tmp_path / "good.png", tmp_path / "bad.png"],
        n_classes=10,
    )
    assert "bad.png: " in said
    (tmp_path / "good.png").unlink()
    said = refusal(DataError, prediction_inputs.gather, [tmp_path], n_classes=10)
    assert "no picture can be used; the first: " in said


def test_a_pipe_is_not_waited_for(tmp_path, refusal):
    os.mkfifo(tmp_path / "pipe.png")
    said = refusal(DataError, prediction_inputs.gather, [tmp_path / "pipe.png"], n_classes=10)
    assert "is a pipe or a device" in said


def test_an_empty_folder(tmp_path, refusal):
    said = refusal(DataError, prediction_inputs.gather, [tmp_path], n_classes=10)
    assert "holds no picture" in said


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte"),
        ("t10k-images.idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
        ("qmnist-test-images-idx3-ubyte.gz", "qmnist-test-labels-idx2-int.gz"),
        ("mine-images.idx3", "mine-labels.idx1.gz"),
        ("images", "labels"),
    ],
)
def test_the_labels_beside_an_idx_file(tmp_path, few, images, labels):
    pixels, classes = few.validation.images[:5].numpy(), few.validation.labels[:5].numpy()
    idx.write_images(tmp_path / images, pixels)
    alone = prediction_inputs.gather([tmp_path / images], n_classes=10)
    assert alone.labels == [UNKNOWN] * 5 and not alone.remarks
    idx.write_labels(tmp_path / labels, classes.astype(np.uint8))
    found = prediction_inputs.gather([tmp_path / images], n_classes=10)
    assert found.labels == classes.tolist() and labels in found.remarks[0]
    assert np.array_equal(np.stack(found.images), pixels)
    assert found.indices == [0, 1, 2, 3, 4] and not found.pictures


def test_idx_files_that_are_none(tmp_path, few, refusal):
    def said(path):
        return refusal(DataError, prediction_inputs.gather, [path], n_classes=10)

    idx.write_labels(tmp_path / "labels", few.validation.labels[:5].numpy().astype(np.uint8))
    assert "expected the magic number 2051 of images, but got 2049" in said(tmp_path / "labels")
    idx.write_images(tmp_path / "none", np.zeros((0, 28, 28), np.uint8))
    assert "expected images, but got none" in said(tmp_path / "none")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b broken")
    assert "broken.gz" in said(tmp_path / "broken.gz")
    idx.write_images(tmp_path / "more-images-idx3", few.validation.images[:4].numpy())
    idx.write_labels(tmp_path / "more-labels-idx1", np.array([1, 2], np.uint8))
    assert "expected 4 labels" in said(tmp_path / "more-images-idx3")
    idx.write_labels(tmp_path / "more-labels-idx1", np.array([1, 2, 30, 4], np.uint8))
    assert "expected a label in 0..9, but got 30" in said(tmp_path / "more-images-idx3")


def test_images_of_several_sizes(tmp_path, refusal):
    idx.write_images(tmp_path / "small", np.zeros((2, 20, 20), np.uint8))
    paths = [picture(tmp_path / "a.png"), tmp_path / "small"]
    said = refusal(DataError, prediction_inputs.gather, paths, n_classes=10)
    assert "several sizes: 20x20, 28x28" in said


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("n", [3, 60])
def test_the_table_of_classes(kept, few, n):
    found = predict.classify(kept(), few.validation.images[:n])
    labels = [UNKNOWN, *few.validation.labels[1:n].tolist()]
    names = ['a, "b"\n.png', *["set"] * (n - 1)]
    table = prediction_tables.of_classes(found, names, [None, *range(1, n)], labels)
    rows = read_csv(table.csv())
    assert [int(row["predicted"]) for row in rows] == found.predicted.tolist()
    shares = np.array([[float(row[f"p{k}"]) for k in range(10)] for row in rows])
    np.testing.assert_allclose(shares, found.probabilities.numpy(), rtol=1e-5)
    assert rows[0]["input"] == names[0] and rows[0]["index"] == rows[0]["label"] == ""
    assert (rows[2]["index"], rows[2]["label"]) == ("2", str(labels[2]))
    right = np.mean(found.predicted[1:].numpy() == labels[1:])
    assert table.accuracy == right and table.known == n - 1
    if n == 3:
        assert table.tables[0].row_count == 3 and table.drawn.tolist() == [0, 1, 2]
    else:
        assert table.tables[0].row_count == 10  # a row a class, then the surest mistakes
        sure = found.probability[table.drawn].tolist()
        assert sure == sorted(sure, reverse=True) and 0 not in table.drawn
        assert all(int(found.predicted[i]) != labels[i] for i in table.drawn)


@pytest.mark.parametrize("n", [4, 100])
def test_the_table_of_pairs(kept, few, n):
    found = predict.compare_pairs(kept("siamese"), few.validation.images[:n])
    labels = few.validation.labels[:n].tolist()
    table = prediction_tables.of_pairs(found, ["set"] * n, list(range(n)), labels)
    rows = read_csv(table.csv())
    assert len(rows) == n // 2
    for i, row in enumerate(rows):
        assert (row["first_index"], row["second_index"]) == (str(2 * i), str(2 * i + 1))
        assert float(row["score"]) == found.scores[i]
        assert row["predicted"] == ("same" if found.scores[i] >= 0.1 else "different")
        assert row["label"] == ("same" if labels[2 * i] == labels[2 * i + 1] else "different")
    right = sum(row["predicted"] == row["label"] for row in rows)
    assert table.accuracy == right / len(rows)
    unknown = prediction_tables.of_pairs(found, ["set"] * n, list(range(n)), [UNKNOWN] * n)
    assert unknown.accuracy is None and read_csv(unknown.csv())[0]["label"] == ""


def test_pictures_for_models_of_other_images(tmp_path):
    pixels = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    Image.fromarray(pixels).save(tmp_path / "some.png")
    about = Images(12, 12, 3, mean=(0.5,) * 3, std=(0.2,) * 3)

    def read(**given):
        found = prediction_inputs.gather([tmp_path / "some.png"], n_classes=2, about=about, **given)
        return found.images[0]

    assert np.array_equal(read(), pixels)
    assert np.array_equal(read(raw=True), pixels)
    assert np.array_equal(read(invert=False), pixels)
    assert np.array_equal(read(invert=True), 255 - pixels)
