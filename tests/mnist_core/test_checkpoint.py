"""Checkpoints: what was saved comes back, everything else is refused in one line."""

import json
import stat
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mnist_core import models
from mnist_core.checkpoints import checkpoint
from mnist_core.comparison import model_record
from mnist_core.config import ModelConfig, TrainConfig
from mnist_core.errors import CheckpointError, UserError
from mnist_core.train import train

METRICS = {"val_accuracy": 0.1 + 0.2, "val_loss": 1e-30}


def network(name="lenet5", n_classes=10):
    torch.manual_seed(2)
    return models.build(ModelConfig(name=name), n_classes)


def settings_of(name="lenet5"):
    return TrainConfig().override({"model.name": name, "optim.lr": 0.1 + 0.2, "seed": 2**63 - 1})


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, network(), settings_of(), n_classes=10, metrics=METRICS)
    return path


def same_weights(first, second):
    mine, theirs = first.state_dict(), second.state_dict()
    return list(mine) == list(theirs) and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("name", ["net", "net_sigmoid", "net_deep", "mlp512", "lenet5", "cnn"])
@pytest.mark.parametrize("n_classes", [10, 3])
def test_round_trip(tmp_path, name, n_classes):
    model = network(name, n_classes)
    path = tmp_path / "new" / "folder" / "model.safetensors"
    checkpoint.save(path, model, settings_of(name), n_classes=n_classes, metrics=METRICS)
    back = checkpoint.load(path)
    assert same_weights(model, back.model)
    images = torch.randn(20, 1, 28, 28)
    assert torch.equal(back.model(images), model.eval()(images))
    assert (back.config, back.n_classes, back.metrics) == (settings_of(name), n_classes, METRICS)
    assert not any(module.training for module in back.model.modules())


def test_a_trained_model_gives_identical_logits(few, config, tmp_path):
    """The trained one lies channels-last in memory; in that layout every bit comes back."""
    result = train(config(), few)
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, result.model, result.config, n_classes=10, metrics=result.metrics)
    back = checkpoint.load(path)
    assert same_weights(result.model, back.model)
    images = few.validation.images.unsqueeze(1).float() / 255
    with torch.no_grad():
        expected = result.model(images)
        torch.testing.assert_close(back.model(images), expected, rtol=1e-4, atol=1e-5)
        again = back.model.to(memory_format=torch.channels_last)
        assert torch.equal(again(images), expected)
    assert back.config == result.config
    assert back.metrics == result.metrics


def test_loading_draws_no_random_numbers(saved):
    state = torch.get_rng_state()
    checkpoint.load(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_saving_leaves_the_model_as_it_is(tmp_path):
    model = network("cnn").train().to(memory_format=torch.channels_last)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    checkpoint.save(tmp_path / "m", model, settings_of("cnn"), n_classes=10, metrics={})
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_the_file_is_plain_data(saved):
    """A length, JSON, numbers: nothing of pickle, nothing that is run when it is read."""
    raw = saved.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert json.loads(metadata["config"]) == settings_of().to_dict()
    assert json.loads(metadata["metrics"]) == METRICS
    assert metadata["n_classes"] == "10"
    ends = [entry["data_offsets"][1] for entry in header.values()]
    assert len(raw) == 8 + length + max(ends)
    assert max(ends) == 4 * 61_706
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


def test_a_new_file_is_as_readable_as_any_other(saved, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_saving_replaces_what_was_there(saved):
    checkpoint.save(saved, network("mlp512"), settings_of("mlp512"), n_classes=10, metrics={})
    assert checkpoint.load(saved).config.model.name == "mlp512"
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("name", ["file/model", "folder", "x" * 300])
def test_targets_that_cannot_be_written(tmp_path, refusal, name):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    save = (checkpoint.save, tmp_path / name, network(), settings_of())
    message = refusal(UserError, *save, n_classes=10, metrics={})
    assert message.startswith(f"{tmp_path / name}: cannot be written: ")
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "folder" / "full").is_dir()


def test_files_that_are_none(tmp_path, refusal):
    pickled = tmp_path / "pickled"
    torch.save(network().state_dict(), pickled)
    contents = {
        "empty": b"",
        "short": b"\x01",
        "text": b"[optim]\nlr = 1\n" * 9,
        "zeros": bytes(99),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in ("missing", ".", "pickled", *contents):
        message = refusal(CheckpointError, checkpoint.load, tmp_path / name)
        assert message.startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 1_000, -1_000, -1])
def test_truncated(saved, refusal, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    message = refusal(CheckpointError, checkpoint.load, saved)
    assert message.startswith(f"{saved}: ")
    assert "cut off" in message or keep < 9


def test_trailing_bytes(saved, refusal):
    saved.write_bytes(saved.read_bytes() + b"more")
    assert "cannot read" in refusal(CheckpointError, checkpoint.load, saved)


def write(path, weights=None, **header):
    """A file of this program but for ``header``; a value of None leaves one out."""
    metadata = {"config": json.dumps(settings_of().to_dict()), "n_classes": "10", "metrics": "{}"}
    metadata |= header
    kept = {key: value for key, value in metadata.items() if value is not None}
    save_file(network().state_dict() if weights is None else weights, path, metadata=kept)


def test_the_files_of_these_tests_are_right_but_for_the_mistake(tmp_path):
    write(tmp_path / "m")
    assert same_weights(checkpoint.load(tmp_path / "m").model, network())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"config": None}, "'config'"),
        ({"n_classes": None}, "'n_classes'"),
        ({"metrics": None}, "'metrics'"),
        ({"config": "{"}, "is not a checkpoint of this program"),
        ({"config": "[]"}, "dictionary"),
        ({"config": '{"optim": {"lr": -1}}'}, "optim.lr"),
        ({"config": "[" * 5000 + "]" * 5000}, "nests too deep"),
        ({"config": '{"seed": ' + "1" * 5000 + "}"}, "an integer of more than 64 bits"),
        ({"metrics": '{"a":' * 5000 + "1" + "}" * 5000}, "nests too deep"),
        ({"metrics": '{"val_accuracy": ' + "1" * 400 + "}"}, "an integer of more than 64 bits"),
        ({"config": '{"colour": 1}'}, "unknown setting 'colour'"),
        ({"config": '{"model": {"name": "nett"}}'}, "nett is not here"),
        ({"n_classes": "ten"}, "is not a checkpoint of this program"),
        ({"n_classes": "-1"}, "n_classes"),
        ({"n_classes": ""}, "n_classes"),
        ({"n_classes": "[" * 5000}, "n_classes"),
        ({"n_classes": "1" * 5000}, "an integer of more than 64 bits"),
        ({"n_classes": "11"}, "model 'lenet5'"),
        ({"metrics": "nothing"}, "is not a checkpoint of this program"),
        ({"metrics": "[1]"}, "metrics"),
        ({"metrics": '{"val_accuracy": "good"}'}, "metrics"),
    ],
)
def test_foreign_headers(tmp_path, refusal, header, said):
    path = tmp_path / "m"
    write(path, **header)
    message = refusal(CheckpointError, checkpoint.load, path)
    assert message.startswith(f"{path}: ") and len(message) < len(str(path)) + 400
    assert said in message


def test_weights_of_another_kind(tmp_path, refusal):
    path = tmp_path / "m"
    write(path, {key: value.long() for key, value in network().state_dict().items()})
    assert "int64" in refusal(CheckpointError, checkpoint.load, path)


def test_weights_of_others(tmp_path, refusal):
    path = tmp_path / "m"
    lenet5 = network().state_dict()
    fewer = {key: value for key, value in lenet5.items() if key != "0.bias"}
    for weights in (network("net").state_dict(), {}, fewer, {**lenet5, "more": torch.ones(1)}):
        write(path, weights)
        message = refusal(CheckpointError, checkpoint.load, path)
        assert message.startswith(f"{path}: the weights are not those of model 'lenet5': ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path, refusal, value):
    path = tmp_path / "m"
    weights = network().state_dict()
    weights["0.weight"][0, 0, 0, 0] = value
    write(path, weights)
    message = refusal(CheckpointError, checkpoint.load, path)
    assert "1 of the " in message and "0.weight" in message


OTHERS = {
    "model.pt": (b"PK\x03\x04 archive", "torch.save"),
    "old.pth": (b"\x80\x02\x8a\nl\xfc\x9c", "pickle"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "page.safetensors": (b"\n<!DOCTYPE html><html></html>", "web page"),
    "net.onnx": (b"\x08\x0a\x12\x07pytorch", "ONNX"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n", "Keras"),
    "m.safetensors.gz": (b"\x1f\x8b\x08\x00", "gzip"),
    "one.png": (b"\x89PNG\r\n\x1a\n\x00\x00", "PNG"),
    "labels": (b"\x00\x00\x08\x01\x00\x00\x00\x02\x01\x02", "IDX"),
    "facts.json": (b'{"status": "done", "metrics": {}}', "JSON"),
    "metrics.csv": (b"step,epoch,loss\n1,1,0.5\n", "CSV"),
    "nothing.safetensors": (b"", "empty"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path, refusal, name):
    """Before it said "header too large"."""
    content, kind = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (checkpoint.load, model_record.find, model_record.weights_digest):
        message = refusal(CheckpointError, read, path)
        assert message.startswith(f"{path}: is ") and kind in message
        assert "only .safetensors files" in message


def test_a_safetensors_file_without_a_header(tmp_path, refusal):
    path = tmp_path / "m"
    save_file(network().state_dict(), path)
    assert "is not a checkpoint of this program" in refusal(CheckpointError, checkpoint.load, path)


@settings(max_examples=150)
@given(data=st.data())
def test_damage_is_found_or_harmless(saved, data):
    """Any byte of the header may be any other: the typed error, or a checkpoint, comes out."""
    whole = bytearray(saved.read_bytes())
    (length,) = struct.unpack("<Q", whole[:8])
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, 8 + length - 1))] = data.draw(st.integers(0, 255))
    damaged = saved.with_name("damaged")
    damaged.write_bytes(whole)
    try:
        checkpoint.load(damaged)
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1
