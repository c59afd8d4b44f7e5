"""Commands that judge a study's model on test images are on record in the study's folder."""

import json
import shutil
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mnist_core import __main__ as program
from mnist_core import models
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint, study_readings
from mnist_core.config import TrainConfig
from mnist_core.console import command_line
from mnist_core.data.storage import EMBEDDED
from mnist_core.errors import UserError
from mnist_core.runs import training_run
from mnist_core.train import resolve


@pytest.fixture
def study(tmp_path):
    """The folder of a study that keeps a model with fresh weights."""
    config = resolve(TrainConfig().override({"model.name": "lenet5", "device": "cpu"}))
    torch.manual_seed(0)
    model = models.build(config.model, 10).eval()
    (tmp_path / "study/checkpoints/confirm").mkdir(parents=True)
    path = tmp_path / "study/checkpoints/confirm/3.safetensors"
    metrics = {"val_accuracy": 0.1}
    checkpoint.save(path, model, config, n_classes=10, metrics=metrics, confirm_trial=3)
    return tmp_path / "study"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    def call(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        return caught.value.code or 0, *capsys.readouterr()

    return call


def test_every_command_that_reads_the_test_images_is_recorded(command, study, tmp_path):
    model = study / "checkpoints/confirm/3.safetensors"
    (study / "best_config.toml").write_text("[record]\nconfirm_trial = 3")
    linked = tmp_path / "link.safetensors"
    linked.symlink_to(model)
    readings = [
        ("evaluate", model, "--split", "test"),
        ("evaluate", "study", "--split", "test"),
        ("predict", linked, "--split", "test"),
        ("predict", model, EMBEDDED / "t10k-images-idx3-ubyte.gz"),
        ("export", model, "--format", "torch"),
    ]
    for number, words in enumerate(readings, start=1):
        code, out, err = command(*words)
        assert (code, err) == (0, "")
        assert "recorded" in out
        found = study_readings.read(study)
        assert len(found) == number
        assert (found[-1].by, found[-1].trial, found[-1].data) == (words[0], 3, "mnist-10pct")
        assert found[-1].time
    for words in [("evaluate", model), ("predict", model)]:  # the validation images
        assert command(*words)[0] == 0
    assert len(study_readings.read(study)) == len(readings)


def test_a_training_of_the_winners_configuration_is_recorded(command, study):
    """Its model is new, but it is judged by the test images of the study that chose it."""
    file = study / "best_config.toml"
    settings = 'epochs = 1\nbatch_size = 500\n[model]\nname = "lenet5"\n'
    file.write_text(settings + '[record]\nstudy = "toy"\nmetric = "val_accuracy"\n')
    words = ("train", file, "--test", "--no-save", "--device", "cpu")
    code, said, _ = command(*words, "--set", "optim.lr=0.01")
    assert code == 0 and "this reading is recorded there" in " ".join(said.split())
    (reading,) = study_readings.read(study)
    assert (reading.by, reading.trial, reading.data) == ("train --test", None, "mnist-10pct")


def test_a_training_of_a_copied_configuration_says_that_it_is_not_recorded(
    command, study, tmp_path
):
    settings = 'epochs = 1\nbatch_size = 500\n[model]\nname = "lenet5"\n'
    for file, study_name, said in (("copied", "toy", 1), ("own", None, 0)):
        record = f'[record]\nstudy = "{study_name}"\n' if study_name else ""
        (tmp_path / f"{file}.toml").write_text(settings + record)
        code, out, err = command("train", f"{file}.toml", "--test", "--no-save", "--device", "cpu")
        assert (code, err) == (0, "")
        assert " ".join(out.split()).count("not on record") == said
    assert study_readings.read(study) == ()


def test_a_resumed_training_of_the_winners_configuration_is_recorded(
    command, study, tmp_path, monkeypatch
):
    file = study / "best_config.toml"
    settings = 'epochs = 2\nbatch_size = 500\n[model]\nname = "lenet5"\n'
    file.write_text(settings + '[record]\nstudy = "toy"\nmetric = "val_accuracy"\n')

    def interrupt(*_):
        raise KeyboardInterrupt

    words = ("--no-pictures", "--out", tmp_path / "runs")
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "_STATE_SECONDS", 0.0)  # a fast machine saves, too
        patch.setattr(training_run, "_finish", interrupt)
        command("train", file, "--test", "--device", "cpu", *words)
    (run,) = (tmp_path / "runs/cpu").iterdir()
    assert study_readings.read(study) == ()
    code, said, err = command("train", "--resume", run, *words)
    assert (code, err) == (0, "") and "this reading is recorded there" in " ".join(said.split())
    (reading,) = study_readings.read(study)
    assert reading.by == "train --test"


def test_a_reading_by_a_model_copied_out_of_its_study_is_said(command, study, tmp_path):
    """The study cannot count it: the copy knows no folder."""
    copied, own = tmp_path / "copied.safetensors", tmp_path / "own.safetensors"
    shutil.copy(study / "checkpoints/confirm/3.safetensors", copied)
    kept = checkpoint.load(copied)
    checkpoint.save(own, kept.model, kept.config, n_classes=10, metrics={})
    readings = [
        ("evaluate", "--split", "test"),
        ("predict", "--split", "test"),
        ("predict", EMBEDDED / "t10k-images-idx3-ubyte.gz"),
        ("export", "--format", "torch"),
    ]
    for by, *words in readings:
        for model, said in ((copied, 1), (own, 0)):
            code, out, err = command(by, model, *words)
            assert (code, err) == (0, "")
            assert " ".join(out.split()).count("not on record") == said, (by, model)
    assert "not on record" not in command("evaluate", copied)[1]
    assert study_readings.read(study) == ()


@pytest.mark.parametrize("written", ["x", "-1", "9" * 5000])
def test_what_names_no_confirm_trial_is_passed_over(written, study):
    path = study / "checkpoints/confirm/3.safetensors"
    with safe_open(path, framework="pt") as file:
        header, weights = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(weights, path, metadata={**header, "confirm_trial": written})
    assert checkpoint.load(path).confirm_trial is None


def test_a_reading_is_on_record_before_it_happens(command, study, monkeypatch):
    def die(*_):
        assert len(study_readings.read(study)) == 1
        raise UserError("killed")

    monkeypatch.setattr(evaluate_checkpoint, "judge", die)
    code, out, _ = command("evaluate", study / "checkpoints/confirm/3.safetensors", "--split=test")
    assert (code, out) == (1, "") and len(study_readings.read(study)) == 1


def test_without_a_record_nothing_is_read(command, study):
    (study / study_readings.FILE).mkdir()
    for words in [("evaluate", "--split=test"), ("predict", "--split=test"), ("export",)]:
        model = study / "checkpoints/confirm/3.safetensors"
        code, out, err = command(words[0], model, *words[1:])
        assert (code, out, len(err.splitlines())) == (1, "", 1)


def test_damaged_lines_count(study):
    file = study / study_readings.FILE
    model = study / "checkpoints/confirm/3.safetensors"
    named = {"by": "evaluate", "trained_on": "mnist-10pct", "data": "mnist"}
    study_readings.record(model, **named)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])  # a power cut in the middle of a write
    study_readings.record(model, **named)
    first, torn, last = study_readings.read(study)
    assert torn == study_readings.StudyReading() and first.by == last.by == "evaluate"
    for line in ["\xff\xfe", "3", "[" * 5000, json.dumps({"by": "a\x1b[31m"}), '{"time": 3}']:
        file.write_text(line + "\n")
        assert study_readings.read(study) == (study_readings.StudyReading(),)


def test_images_of_a_data_set_that_shares_none_are_no_reading(study):
    model = study / "checkpoints/confirm/3.safetensors"
    named = {"by": "evaluate", "trained_on": "mnist-10pct"}
    assert not study_readings.record(model, **named, data="fashion_mnist")
    assert not study_readings.record(study / "3.safetensors", **named, data="mnist")
    assert study_readings.read(study) == () and study_readings.read(study / "nowhere") == ()
    assert study_readings.record(model, **named, data="folder")
