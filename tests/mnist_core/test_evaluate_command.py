"""``python -m mnist_core evaluate``: what it prints is what the training logged."""

import sys

import pytest

from mnist_core import __main__ as program
from mnist_core import checkpoint, command_line, judge
from mnist_core.config import DataConfig
from mnist_core.data import load
from mnist_core.train import train

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


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["mnist_core", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        out, err = capsys.readouterr()
        return caught.value.code or 0, out.splitlines(), err.splitlines()

    return call


@pytest.fixture
def kept(config, tmp_path):
    def make(**changes):
        data = load(DataConfig())
        result = train(config(batch_size=250, **changes), data)
        path = tmp_path / "model.safetensors"
        checkpoint.save(
            path,
            result.model,
            result.config,
            n_classes=data.n_classes,
            metrics=result.metrics,
        )
        return path, result

    return make


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_the_training_logged(run, kept, digits, name):
    path, result = kept(**MODELS[name])
    found = judge.judge(checkpoint.load(path), digits.validation)
    assert found.metrics["accuracy"] == result.metrics["val_accuracy"]
    assert found.confusion.tolist() == result.confusion
    code, out, err = run(path)
    assert (code, err) == (0, [])
    assert out[1].startswith(f"accuracy {result.metrics['val_accuracy']:.4f}, ")
    assert out[-1].endswith(f"{result.metrics['val_accuracy']:.4f}: the same")
    rows = [line.split() for line in out if line.split()[:1] == ["0"]]
    if name != "pairs":
        assert list(map(int, rows[0][1:11])) == result.confusion[0]


def test_the_test_images_are_others(run, kept):
    path, _ = kept(model__name="lenet5")
    code, out, _ = run(path, "--split", "test")
    assert code == 0 and "1,000 test images of mnist-10pct" in out[0]
    assert not any("logged" in line for line in out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.safetensors"], "nowhere.safetensors: cannot read the checkpoint"),
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
