"""Export: every model in every format says what the trained one says, and a wrong file is deleted.

The models are untrained but for one step's worth of noise in their batch norms; parity does not
need good ones. 64 test images stand for all of them, but for one test with the whole set.
"""

import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mnist_core import __main__ as program
from mnist_core import models, tasks
from mnist_core.checkpoints import checkpoint, export
from mnist_core.checkpoints.checkpoint import Checkpoint
from mnist_core.checkpoints.export import ParityError
from mnist_core.checkpoints.export_formats import FORMATS
from mnist_core.config import DataConfig, ModelConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import Split, load_test
from mnist_core.device import runtime
from mnist_core.errors import ConfigError, DataError, UserError
from mnist_core.models._layers import ACTIVATIONS

PAIRS = [name for name in models.names() if models.task(ModelConfig(name=name)) == "pairs"]


@pytest.fixture(scope="session")
def test_images() -> Split:
    return load_test(DataConfig())


@pytest.fixture(scope="session")
def some(test_images) -> Split:
    return Split(test_images.images[:64], test_images.labels[:64])


def kept(name="net", **changes) -> Checkpoint:
    """A model with random weights, and batch norms that do something."""
    settings = {"model.name": name, "pairs.evaluation": 64, "threads": 1, **changes}
    config = TrainConfig().override(settings)
    torch.manual_seed(1)
    model = models.build(config.model, 10).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, -1, 1)
    return Checkpoint(model=model, config=config, n_classes=10, metrics={"val_accuracy": 0.5})


def exported(model, folder, file_format, digits, test) -> tuple[Path, export.Parity]:
    out = folder / f"model{FORMATS[file_format].suffix}"
    return out, export.export(model, out, file_format=file_format, data=digits, test=test)


# For `make test`: a model of each kind; the others take half a minute.
QUICK = ("mlp512-onnx", "mlp512-torch", "siamese-torch")


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        pytest.param(n, f, marks=() if f"{n}-{f}" in QUICK else pytest.mark.long)
        for n in models.names()
        for f in FORMATS
    ],
)
def test_every_model_in_every_format(tmp_path, digits, some, name, file_format):
    """Compared once more here, with other numbers of images and without the code of ``export``."""
    model = kept(name)
    out, parity = exported(model, tmp_path, file_format, digits, some)
    assert parity.holds and parity.samples == 64
    # A score that lies on the threshold to the last digits may fall on either side of it.
    off = abs(parity.trained_accuracy - parity.exported_accuracy)
    assert parity.different <= 1 and off <= parity.different / parity.samples
    assert list(tmp_path.iterdir()) == [out]
    run = FORMATS[file_format].load(out, 1)
    channels = 2 if name in PAIRS else 1
    for n in (1, 2, 37):
        images = torch.rand(n, channels, 28, 28)
        with torch.no_grad():
            expected = model.model((images - 0.1307) / 0.3081)
        torch.testing.assert_close(run(images), expected, rtol=1e-4, atol=1e-5)


def test_every_activation(tmp_path, digits, some):
    """One behind the other, in one file."""
    model = kept("flex_cnn", **{"model.norm": "group", "model.depth": 1})
    layers = [layer() for _, layer in sorted(ACTIVATIONS.items())]
    model = replace(model, model=nn.Sequential(*model.model, *layers).eval())
    assert exported(model, tmp_path, "onnx", digits, some)[1].different == 0


@pytest.mark.parametrize("loss", ["contrastive", "supcon"])
def test_a_model_judged_by_its_embeddings(tmp_path, digits, some, loss):
    """The file gives the score that evaluation gives, at the threshold of the validation."""
    model = kept("siamese", **{"loss.name": loss})
    machine = runtime.resolve(model.config.override({"device": "cpu", "precision": "fp32"}))

    def judge(threshold):
        return tasks.evaluate(model.model, some, model.config, runtime=machine, threshold=threshold)

    threshold = judge(0.0).scores.median().item()  # one score lies on it, so it says: the same
    judged = judge(threshold)
    model = replace(model, metrics={"val_threshold": threshold})
    out, parity = exported(model, tmp_path, "onnx", digits, some)
    run = FORMATS["onnx"].load(out, 1)
    scores = run(some.images[judged.pairs].float() / 255)
    torch.testing.assert_close(scores, judged.scores.float(), rtol=1e-4, atol=1e-5)
    assert parity.trained_accuracy == judged.accuracy
    assert abs(parity.exported_accuracy - judged.accuracy) <= 1 / 64
    import onnx

    about = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(about["threshold"]) == threshold
    assert json.loads(about["classes"]) == ["different", "same"]


@pytest.mark.long
def test_the_whole_test_set(tmp_path, digits, test_images):
    parity = exported(kept("lenet5"), tmp_path, "onnx", digits, test_images)[1]
    assert (parity.samples, parity.different) == (1000, 0)
    right = parity.trained_accuracy * 1000
    assert right == pytest.approx(round(right))


def test_accuracy_is_that_of_the_trained_model(tmp_path, digits, some):
    model = kept("mlp512")
    with torch.no_grad():
        images = (some.images.unsqueeze(1) / 255 - 0.1307) / 0.3081
        logits = model.model(images)
    right = (logits.argmax(1) == some.labels).double().mean().item()
    parity = exported(model, tmp_path, "torch", digits, some)[1]
    assert parity.trained_accuracy == parity.exported_accuracy == right
    assert logits.abs().max() < 1 and parity.allowed == export.TOLERANCE  # not less for small ones


class ReluMoved(export.Exportable):
    """The old mistake: a ReLU in the wrong place."""

    def __init__(self, *given):
        super().__init__(*given)
        layers = list(self.model)
        first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU))
        relu = layers.pop(first)
        convolution = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d))
        layers.insert(convolution, relu)
        self.model = nn.Sequential(*layers)


class Swapped(export.Exportable):
    """A file with two rows of a layer exchanged: the logits move, hardly any prediction does."""

    def __init__(self, *given):
        super().__init__(*given)
        with torch.no_grad():
            rows = self.model[-1].weight
            rows[[0, 1]] = rows[[1, 0]]


class Normalised(export.Exportable):
    """A file that forgot the normalisation."""

    def forward(self, images):
        return self.model(images)


class NotANumber(export.Exportable):
    def forward(self, images):
        return super().forward(images) * float("nan")


class TwoNumbers(export.Exportable):
    def forward(self, images):
        return super().forward(images)[:, :2]


@pytest.mark.parametrize(
    ("broken", "file_format"),
    [pytest.param(ReluMoved, "onnx", marks=pytest.mark.long), (TwoNumbers, "torch")]
    + [(broken, "torch") for broken in (ReluMoved, Swapped, Normalised, NotANumber)],
)
def test_a_broken_file_is_deleted(
    tmp_path, digits, some, monkeypatch, refusal, broken, file_format
):
    monkeypatch.setattr(export, "Exportable", broken)
    message = refusal(ParityError, exported, kept(), tmp_path, file_format, digits, some)
    assert "the file was deleted" in message
    assert list(tmp_path.iterdir()) == []
    if broken is ReluMoved:
        assert "does not compute what the trained one does: logits differ by up to " in message
        assert " instead of " in message


def test_an_earlier_file_survives_a_broken_one(tmp_path, digits, some, monkeypatch):
    out, _ = exported(kept(), tmp_path, "torch", digits, some)
    before = out.read_bytes()
    monkeypatch.setattr(export, "Exportable", ReluMoved)
    with pytest.raises(ParityError):
        exported(kept(), tmp_path, "torch", digits, some)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_an_interrupted_export_leaves_nothing(tmp_path, digits, some, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        exported(kept(), tmp_path, "torch", digits, some)
    assert list(tmp_path.iterdir()) == []


def test_the_model_stays_as_it_is(tmp_path, digits, some):
    model = kept("siamese")
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    state = torch.get_rng_state()
    exported(model, tmp_path, "torch", digits, some)
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_file_says_of_itself(tmp_path, digits, some):
    import onnx

    model = kept("flex_cnn", **{"data.root": str(tmp_path / "secret")})
    out, _ = exported(model, tmp_path, "onnx", digits, some)
    proto = onnx.load(out)
    onnx.checker.check_model(proto, full_check=True)
    about = {entry.key: entry.value for entry in proto.metadata_props}
    assert about["input"].startswith("images: float32 [batch, 1, 28, 28], 0 (ground) to 1 (ink)")
    assert json.loads(about["classes"]) == [str(k) for k in range(10)]
    assert json.loads(about["data"])["fingerprint"] == digits.fingerprint
    assert json.loads(about["versions"])["torch"] == torch.__version__
    assert json.loads(about["config"])["model"]["name"] == "flex_cnn"
    assert json.loads(about["metrics"]) == {"val_accuracy": 0.5}
    (given,), (result,) = proto.graph.input, proto.graph.output
    assert (given.name, result.name) == ("images", "logits")
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == [
        "batch", 1, 28, 28,
    ]  # fmt: skip
    # Nothing of the machine it was made on.
    raw = out.read_bytes()
    for trace in (str(tmp_path), str(Path(__file__).parents[2]), "site-packages"):
        assert trace.encode() not in raw

    extra = {"about.json": ""}
    out, _ = exported(model, tmp_path, "torch", digits, some)
    torch.export.load(out, extra_files=extra)
    assert json.loads(extra["about.json"]) == about


def test_weights_are_fp32_whatever_the_training(tmp_path, digits, some):
    model = kept("lenet5", precision="bf16")
    out, _ = exported(model, tmp_path, "onnx", digits, some)
    import onnx

    weights = [onnx.numpy_helper.to_array(w) for w in onnx.load(out).graph.initializer]
    floats = [w for w in weights if w.dtype != np.int64]
    assert {w.dtype for w in floats} == {np.dtype("float32")}
    assert sum(w.size for w in floats if w.size > 1) == 61_706


@pytest.mark.parametrize(
    ("file_format", "name", "said"),
    [
        ("onx", "m.onnx", "--format: unknown format 'onx'; did you mean 'onnx'?"),
        ("onnx", "m.pt2", "--out: onnx files are named *.onnx, but got 'm.pt2'"),
        ("torch", "m", "--out: torch files are named *.pt2, but got 'm'"),
    ],
)
def test_names_and_formats(refusal, file_format, name, said):
    assert refusal(ConfigError, export.check, file_format, Path(name)).startswith(said)


def test_without_onnx(monkeypatch, refusal):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    message = refusal(ConfigError, export.check, "onnx", Path("m.onnx"))
    assert "pip install 'mnist-studies[export]', or take --format torch" in message
    export.check("torch", Path("m.pt2"))


def test_other_classes(tmp_path, digits, some, refusal):
    message = refusal(
        DataError, exported, replace(kept(), n_classes=7), tmp_path, "torch", digits, some
    )
    assert message.startswith("the model knows 7 classes, but mnist-10pct has 10")


def test_a_folder_that_is_none(tmp_path, digits, some, refusal):
    (tmp_path / "file").touch()
    message = refusal(UserError, exported, kept(), tmp_path / "file", "torch", digits, some)
    assert "cannot be written" in message


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run ``python -m mnist_core export`` in this process."""

    def call(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mnist_core", "export", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        said = capsys.readouterr()
        return caught.value.code or 0, said.out.splitlines(), said.err.splitlines()

    return call


@pytest.fixture
def saved(tmp_path):
    model = kept("lenet5")
    path = tmp_path / "kept.safetensors"
    checkpoint.save(path, model.model, model.config, n_classes=10, metrics=model.metrics)
    return path


def test_the_command(command, saved):
    code, lines, errors = command(saved)
    assert (code, errors) == (0, [])
    assert lines[0].startswith(f"lenet5 written to {saved.with_suffix('.onnx')} (0.")
    assert "parity with the trained model in fp32 on 1,000 test images of mnist-10pct: " in lines[2]
    assert "0 predictions differ" in lines[2] and "not a result to choose by" in lines[2]
    assert saved.with_suffix(".onnx").is_file()
    assert command(saved, "--out", "other.pt2")[0] == 0
    assert (saved.parent / "other.pt2").is_file()


def test_the_command_without_a_test_set(command, saved):
    code, lines, errors = command(saved, "--format", "torch", "--set", "data.test_set=false")
    assert (code, errors) == (0, [])
    assert "on 1,000 validation images of mnist-10pct: " in lines[2]
    assert "there is no test set" in lines[3]


def test_the_command_on_a_run(command, saved, tmp_path):
    folder = tmp_path / "results" / "runs" / "cpu" / "net-1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    saved.rename(folder / "best.safetensors")
    code, lines, errors = command("net", "--checkpoint", "best", "--format", "torch")
    assert (code, errors) == (0, [])
    assert lines[0].startswith("lenet5 written to results/runs/cpu/net-1/best.pt2 ")
    code, lines, (error,) = command("net")
    assert (code, lines) == (1, []) and "has no last.safetensors" in error


def test_the_command_on_a_broken_export(command, saved, monkeypatch):
    monkeypatch.setattr(export, "Exportable", Normalised)
    code, lines, errors = command(saved, "--format", "torch")
    assert (code, lines, len(errors)) == (1, [], 1)
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "onxx"], "error: --format: unknown format 'onxx'; did you mean 'onnx'?"),
        (["--out", "m.txt"], "error: --out: onnx files are named *.onnx, but got 'm.txt'"),
        (["--set", "optim.lr=1"], "error: --set optim.lr: the model is trained; only data.* can"),
        (
            ["--set", "data.name=mnits"],
            "error: data.name: unknown data set 'mnits'; did you mean 'mnist'?",
        ),
    ],
)
def test_mistakes(command, saved, words, said):
    code, lines, errors = command(saved, *words)
    assert (code, lines, len(errors)) == (1, [], 1)
    assert errors[0].startswith(said)


def test_no_checkpoint(command, tmp_path):
    code, _, errors = command(tmp_path / "none.safetensors")
    assert code == 1 and "no such file" in errors[0]
