"""``python -m mnist_core evaluate``: what it prints is what the training logged."""

import dataclasses
import shutil
import sys

import pytest
import torch

from mnist_core import __main__ as program
from mnist_core import models
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import Split, idx, load, load_test
from mnist_core.runs import run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.train import resolve, train

MODELS = {
    "bf16": {"model__name": "lenet5", "precision": "bf16"},
    "fp64": {"model__name": "lenet5", "precision": "fp64"},
    "batch norm": {"model__name": "flex_cnn", "model__width": 8, "average__name": "ema"},
    "pairs": {
        "model__name": "siamese",
        "model__width": 8,
        "pairs__per_epoch": 500,
        "pairs__evaluation": 400,
    },
}


def fewer(data):
    """Return ``data`` with 500 images to train on: what is logged is of the validation images."""
    train = data.train
    return dataclasses.replace(data, train=Split(train.images[:500], train.labels[:500]))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["mnist_core", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        out, err = capsys.readouterr()
        return caught.value.code or 0, out.splitlines(), err.splitlines()

    return call


@pytest.fixture(scope="module")
def trained():
    """What has been trained here: each of the configurations once."""
    return {}


@pytest.fixture
def kept(config, digits, trained, tmp_path):
    """A trained model in a file of this test, and the training's result, which nobody changes."""

    def make(**changes):
        chosen = config(batch_size=250, **changes)
        key = str(chosen.to_dict())
        result = trained[key] = trained.get(key) or train(chosen, fewer(digits))
        path = tmp_path / "model.safetensors"
        checkpoint.save(
            path,
            result.model,
            result.config,
            n_classes=digits.n_classes,
            metrics=result.metrics,
        )
        return path, result

    return make


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_the_training_logged(run, kept, digits, name):
    path, result = kept(**MODELS[name])
    found = evaluate_checkpoint.judge(checkpoint.load(path), digits.validation)
    assert found.metrics["accuracy"] == result.metrics["val_accuracy"]
    assert found.confusion.tolist() == result.confusion
    code, out, err = run(path)
    assert (code, err) == (0, [])
    assert out[0] == f"{path}:"
    assert out[2].startswith(f"accuracy {result.metrics['val_accuracy']:.4f}, ")
    assert out[-1].endswith(f"{result.metrics['val_accuracy']:.4f}: the same")
    rows = [line.split() for line in out if line.split()[:1] == ["0"]]
    if name != "pairs":
        assert list(map(int, rows[0][1:11])) == result.confusion[0]


@pytest.mark.parametrize("name", ["fp64", "fp64 pairs"])
def test_fp64_is_judged_by_the_very_weights_that_were_stored(kept, digits, name):
    """Not by their nearest fp32 numbers: every figure, the loss included, is the logged one."""
    changes = MODELS["pairs"] if name.endswith("pairs") else {"model__name": "lenet5"}
    path, result = kept(**{**changes, "precision": "fp64"})
    back = checkpoint.load(path)
    stored = result.model.state_dict()
    assert all(torch.equal(value, stored[key]) for key, value in back.model.state_dict().items())
    found = evaluate_checkpoint.judge(back, digits.validation).metrics
    assert {f"val_{key}": value for key, value in found.items()} == {
        key: value for key, value in result.metrics.items() if key.startswith("val_")
    }


def test_the_test_images_are_others(run, kept):
    path, _ = kept(model__name="lenet5")
    code, out, _ = run(path, "--split", "test")
    assert code == 0 and "1,000 test images of mnist-10pct" in out[1]
    assert not any("logged" in line for line in out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.safetensors"], "'nowhere.safetensors': no such file, and no run in results/r"),
        (["MODEL", "--checkpoint", "best"], "--checkpoint best"),
        (["MODEL", "--device", "gpu"], "--device: device must be auto, cpu, cuda or cuda:N"),
        (["MODEL", "--split", "train"], "--split: must be validation or test, but got 'train'"),
        (["MODEL", "--set", "epochs=2"], "--set epochs: the model is trained"),
        (["MODEL", "--dataset", "mnst"], "unknown data set 'mnst'"),
    ],
)
def test_mistakes_are_one_line(run, kept, words, said):
    path, _ = kept(model__name="lenet5")
    code, out, err = run(*(path if word == "MODEL" else word for word in words))
    assert (code, out, len(err)) == (1, [], 1)
    assert said in err[0]


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """The folder ``results`` with a run that has ended, and its result."""
    data, place = load(DataConfig()), tmp_path_factory.mktemp("one") / "results"
    settings = {"device": "cpu", "precision": "fp32", "threads": 1, "model.name": "lenet5"}
    settings |= {"batch_size": 250, "epochs": 2, "optim.lr": 0.003}
    some = resolve(TrainConfig().override(settings))
    folder = RunFolder.create(place / "runs", some, data, name="net-1")
    result = train(some, fewer(data), folder.report, keep_best=True)
    folder.write_result(result, data.n_classes)
    folder.end(run_record.DONE)
    return place, result


@pytest.fixture
def a_run(one_run, tmp_path):
    """A copy of it for each test."""
    place, result = one_run
    shutil.copytree(place, tmp_path / "results")
    return tmp_path / "results" / "runs" / "cpu" / "net-1", result


@pytest.mark.parametrize("what", ["net-1", "ne", "results/runs/cpu/net-1", "FILE"])
@pytest.mark.parametrize("name", ["last", "best"])
def test_a_run_by_any_name(run, a_run, what, name):
    folder, result = a_run
    words = [folder / f"{name}.safetensors"] if what == "FILE" else [what, "--checkpoint", name]
    code, out, err = run(*words)
    assert (code, err) == (0, [])
    metrics = result.metrics if name == "last" else result.best.metrics
    assert out[-1] == (
        f"its training logged an accuracy of {metrics['val_accuracy']:.4f}: the same"
    )


def test_readings_of_the_test_images_are_recorded(run, a_run):
    folder, _ = a_run
    code, out, _ = run("net-1", "--split", "test")
    assert code == 0 and not any("before" in line for line in out)
    found = evaluate_checkpoint.judge(
        checkpoint.load(folder / "last.safetensors"), load_test(DataConfig())
    )
    (reading,) = run_record.read(folder)["test_readings"]
    assert (reading["by"], reading["checkpoint"]) == ("evaluate", "last")
    assert reading["metrics"] == found.metrics
    assert reading["n"] == 1_000 and 0 < reading["accuracy_se"] < 0.05
    accuracy = found.metrics["accuracy"]
    _, out, _ = run("net-1", "--split", "test")
    said = f"the first time an accuracy of {accuracy:.4f} was logged: the same"
    assert out[-1] == f"read once before; {said}"
    _, out, _ = run("net-1", "--split", "test")
    assert out[-1] == f"read 2 times before; {said}"
    _, out, _ = run("net-1", "--split", "test", "--checkpoint", "best")
    assert not any("before" in line for line in out)  # another model
    assert [r["checkpoint"] for r in run_record.read(folder)["test_readings"]] == [
        *["last"] * 3,
        "best",
    ]
    run("net-1")
    assert len(run_record.read(folder)["test_readings"]) == 4  # of the validation images none


def test_a_reading_that_is_another_is_said(run, a_run):
    folder, _ = a_run
    run("net-1", "--split", "test")
    facts = run_record.read(folder)
    facts["test_readings"][0]["metrics"]["accuracy"] = 0.5
    run_record.write(folder, facts)
    _, out, _ = run("net-1", "--split", "test")
    assert out[-1].endswith("an accuracy of 0.5000 was logged: NOT the same")


def test_a_damaged_reading_is_one_line(run, a_run):
    folder, _ = a_run
    facts = run_record.read(folder)
    for damage in ({}, {"checkpoint": "last"}, {"checkpoint": "last", "metrics": {}}):
        facts["test_readings"] = [{"fingerprint": facts["data"]["fingerprint"], **damage}]
        run_record.write(folder, facts)
        code, _, err = run("net-1", "--split", "test")
        assert code == 1 and len(err) == 1 and "run.json: is damaged" in err[0]


def test_an_accuracy_that_is_not_the_logged_one_is_said(run, kept):
    path, result = kept(model__name="lenet5")
    metrics = {**result.metrics, "val_accuracy": 0.5}
    checkpoint.save(path, result.model, result.config, n_classes=10, metrics=metrics)
    said = "its training logged an accuracy of 0.5000: NOT the same"
    assert run(path)[1][-1] == said
    there = result.config.override({"device": "cuda:1"})
    checkpoint.save(path, result.model, there, n_classes=10, metrics=metrics)
    last = run(path, "--device", "cpu")[1][-1]
    assert last == f"{said} (it was trained on cuda:1, which rounds otherwise)"


def test_another_split_has_nothing_logged(run, kept):
    path, _ = kept(model__name="lenet5")
    _, out, _ = run(path, "--set", "data.split_seed=1")
    assert not any("logged" in line for line in out)


def trained_on(images):
    """Count, image by image, which of ``images`` are training images of the default split."""
    known = {image.numpy().tobytes() for image in load(DataConfig()).train.images}
    return sum(image.numpy().tobytes() in known for image in images)


def test_images_of_the_training_are_counted(run, kept):
    path, _ = kept(model__name="lenet5")
    count = trained_on(load(DataConfig(split_seed=1)).validation.images)
    assert 750 < count < 900  # five sixths of them
    code, out, err = run(path, "--set", "data.split_seed=1")
    assert (code, err) == (0, [])
    assert out[2] == f"warning: the model was trained on {count} of these 1,000 images"


def test_images_of_another_data_set_are_counted(run, kept, tmp_path):
    """As of ``mnist`` for a model of ``mnist-10pct``: its images and others."""
    train, test = load(DataConfig()).train, load_test(DataConfig())
    images = torch.cat([train.images[:100], test.images[:500]]).numpy()
    labels = torch.cat([train.labels[:100], test.labels[:500]]).numpy().astype("uint8")
    for part in ("train", "t10k"):
        idx.write_images(tmp_path / f"{part}-images-idx3-ubyte", images)
        idx.write_labels(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    there = ["--dataset", "folder", "--set", f"data.root={tmp_path}"]
    path, result = kept(model__name="lenet5")
    count = trained_on(load(DataConfig(name="folder", root=str(tmp_path))).validation.images)
    assert 5 < count < 30
    code, out, err = run(path, *there)
    assert (code, err) == (0, [])
    assert f"warning: the model was trained on {count} of these 100 images" in out
    # The other way round: its training images must be there to be counted.
    data = {"data.name": "folder", "data.root": str(tmp_path)}
    checkpoint.save(path, result.model, result.config.override(data), n_classes=10, metrics={})
    assert not any("warning" in line for line in run(path)[1])
    other = ["--dataset", "mnist-10pct", "--set", "data.split_seed=1"]
    assert any(
        line.startswith("warning: the model was trained on ") for line in run(path, *other)[1]
    )
    (tmp_path / "train-images-idx3-ubyte").unlink()
    _, out, _ = run(path, *other)
    assert out[2].startswith("warning: whether the model was trained on some of them is not known")


@pytest.mark.parametrize("words", [[], ["--split", "test"], ["--split", "test", "SEED"]])
def test_nothing_is_said_where_none_is_of_the_training(run, kept, words):
    path, _ = kept(model__name="lenet5")
    seed = ["--set", "data.split_seed=1"] if "SEED" in words else []
    code, out, _ = run(path, *(word for word in words if word != "SEED"), *seed)
    assert code == 0 and not any("warning" in line for line in out)


@pytest.mark.parametrize("what", ["study", "study/best_config.toml"])
def test_a_study(run, kept, tmp_path, what):
    path, result = kept(model__name="lenet5")
    folder = tmp_path / "study" / "checkpoints" / "confirm"
    folder.mkdir(parents=True)
    path.rename(folder / "7.safetensors")
    (tmp_path / "study" / "best_config.toml").write_text("[record]\nconfirm_trial = 7")
    code, out, _ = run(what)
    assert code == 0
    assert out[-1].endswith(f"{result.metrics['val_accuracy']:.4f}: the same")


def test_data_of_other_classes_is_refused(run, kept):
    path, result = kept(model__name="lenet5")
    two = models.build(result.config.model, 2)
    checkpoint.save(path, two, result.config, n_classes=2, metrics={})
    code, _, (error,) = run(path)
    assert code == 1 and "knows 2 classes, but 'mnist-10pct' has 10" in error
