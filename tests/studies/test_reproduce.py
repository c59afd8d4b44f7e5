"""``studies reproduce``: the record is met exactly, within the seeds' spread, or not at all."""

import math
import statistics
import sys

import pytest
import scipy.stats
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from mnist_core import plugins, train
from mnist_core.config import TrainConfig
from mnist_core.data import load
from mnist_core.errors import ConfigError
from objectives.trainer.adapter import TrainerAdapter
from search_spaces.space import Float, Space
from studies import __main__ as program
from studies.analysis import reproduction
from studies.cli import options

CONFIG = TrainConfig().override(
    {
        "model.name": "lenet5",
        "epochs": 1,
        "batch_size": 500,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "seed": 3,
    }
)
METRIC = "val_accuracy"


@pytest.fixture(scope="module")
def trained():
    """Return the figures of the training that the files record."""
    result = train.train(CONFIG, load(CONFIG.data))
    return result.metrics[METRIC], result.device_name, load(CONFIG.data).fingerprint


def write(path, value, *, values=None, config=CONFIG, **record):
    confirm = {"confirm": {"metric": METRIC, "values": values}} if values else {"metric": METRIC}
    tables = {**config.to_dict(), "record": {METRIC: value, **confirm, **record}}
    path.write_text(tomli_w.dumps(tables))
    return path


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run ``python -m studies reproduce`` in this process."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["studies/__main__.py", "reproduce", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            options.main(program.app, "python -m studies")
        said = capsys.readouterr()
        return caught.value.code or 0, said.out.splitlines(), said.err.splitlines()

    return call


def test_the_same_seed_gives_the_same_value(command, tmp_path, trained):
    value, device_name, fingerprint = trained
    file = write(tmp_path / "a.toml", value, device_name=device_name, data_fingerprint=fingerprint)
    code, lines, errors = command(file)
    assert (code, errors) == (0, [])
    assert lines[-1] == f"reproduced: val_accuracy {100 * value:.2f} %, exactly as recorded"
    assert lines[0].startswith("warning: ") and "record.sha256" in lines[0]  # has no seal
    assert not any(line.startswith("not as recorded") for line in lines)
    assert not (tmp_path / "results").exists()


def test_a_value_that_cannot_be_met_fails_and_names_what_differs(command, tmp_path, trained):
    value, device_name, _ = trained
    file = write(tmp_path / "a.toml", value + 0.01, torch="1.0", device_name=device_name)
    code, lines, (error,) = command(file)
    assert code == 1
    assert error.startswith(f"error: {file}: NOT reproduced: val_accuracy {100 * value:.2f} %")
    assert "without --tolerance it must be exact" in error
    (difference,) = (line for line in lines if line.startswith("not as recorded"))
    assert difference.startswith("not as recorded: torch 1.0 -> ")


def test_what_does_not_differ_is_said_too(command, tmp_path, trained):
    _, _, (error,) = command(write(tmp_path / "a.toml", trained[0] + 0.01))
    assert error.endswith("; as recorded: nothing that the file names")
    file = write(tmp_path / "a.toml", trained[0] + 0.01, torch="1.0", data_fingerprint=trained[2])
    _, _, (error,) = command(file)
    assert error.endswith("; as recorded: data_fingerprint")


@pytest.mark.parametrize(("tolerance", "code"), [(1.05, 0), (0.95, 1)])
def test_the_tolerance_is_in_points(command, tmp_path, trained, tolerance, code):
    file = write(tmp_path / "a.toml", trained[0] + 0.01)
    assert command(file, "--tolerance", tolerance)[0] == code


def test_other_data_is_refused_before_the_training(command, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "train", None)
    code, lines, (error,) = command(write(tmp_path / "a.toml", 0.9, data_fingerprint="other"))
    assert (code, lines) == (1, [])
    assert "was trained on other data" in error and "was other, but is" in error


@pytest.mark.parametrize("words", [[], ["--device", "cpu"], ["--device", "auto"]])
def test_tf32_without_a_gpu_is_refused_with_what_can_be_done(command, tmp_path, words):
    config = CONFIG.override({"device": "cuda:0", "precision": "tf32"})
    file = write(tmp_path / "a b.toml", 0.9, config=config)
    code, lines, (error,) = command(file, *words)
    assert (code, lines) == (1, [])
    assert "tf32" in error and f"train '{file}' --device cpu --set precision=fp32" in error


def test_a_cuda_graph_can_be_left_out_on_a_cpu(command, tmp_path):
    config = CONFIG.override({"device": "cuda:0", "cuda_graph": True})
    file = write(tmp_path / "a.toml", 0.9, config=config, data_fingerprint="other")
    on_cpu = [file, "--device", "cpu"]
    assert "cuda_graph=false" in command(*on_cpu)[2][0]
    assert "was other, but is" in command(*on_cpu, "--set", "cuda_graph=false")[2][0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("epochs = ", "is not valid TOML"),
        ("epochs = 3", "records no measured value"),
        ("[record]\nmetric = 'val_accuracy'", "records no measured value"),
        ("[record]\nmetric = 'val_accuracy'\nval_accuracy = 'x'", "records no measured value"),
        ("[record]\nval_x = 1.0\nconfirm = {metric = 'val_x', values = 'x'}", "must be numbers"),
        ("[record]\nmetric = 'val_x'\nval_x = nan", "records no measured value"),
        ("[record]\nval_x = 1.0\nconfirm = {metric = 'val_x', values = [nan]}", "must be numbers"),
        ("[record]\nmetric = 'val_x'\nval_x = 1.0\nconfirm = 3", "confirm must be a table"),
        ("epoch = 3", "did you mean 'epochs'"),
    ],
)
def test_files_that_record_nothing(tmp_path, text, part):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=part):
        reproduction.read(file)


def test_mistakes(command, tmp_path):
    code, _, (error,) = command(tmp_path / "gone.toml")
    assert code == 1 and "cannot be read" in error
    code, _, (error,) = command(write(tmp_path / "a.toml", 0.9), "--set", "epochs=2")
    assert code == 1 and "epochs" in error and "data.root" in error
    code, _, (error,) = command(write(tmp_path / "a.toml", 0.9), "--device", "cudo")
    assert code == 1 and "cudo" in error


@pytest.mark.parametrize("setting", ["model.name", "optim.name", "loss.name"])
@pytest.mark.parametrize("name", ["gone_own", "./gone_own.py"])
def test_code_of_ones_own_that_is_gone_is_named_with_its_place(
    command, tmp_path, monkeypatch, setting, name
):
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    (tmp_path / "results").mkdir()
    file = write(tmp_path / "results/a.toml", 0.9, config=CONFIG.override({setting: name}))
    code, lines, (error,) = command(file)
    assert (code, lines) == (1, [])
    what = {"model.name": "model", "optim.name": "optimizer", "loss.name": "loss"}[setting]
    assert str(file) in error and f"its {what} gone_own" in error
    assert f"gone_own.py in {tmp_path}" in error and plugins.VARIABLE in error
    monkeypatch.setenv(plugins.VARIABLE, "")
    assert "a folder of its project" in command(file)[2][0]


def test_changed_code_of_ones_own_is_named(command, tmp_path, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    model = tmp_path / "own_line.py"
    model.write_text(
        "from torch import nn\nOPTIONS = {}\n\n\ndef build(config, n_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, n_classes))\n"
    )
    config = CONFIG.override({"model.name": "own_line"})
    space = Space({"optim.lr": Float(1e-3, 1e-2)})
    _, given = TrainerAdapter("classification", config, space).description()
    (name,) = given[1]
    assert name == "code of own_line.py"
    versions = {"versions": given[1], "params": {"optim.lr": 1e-3}}
    same = command(write(tmp_path / "a.toml", 0.5, config=config, **versions))
    assert not any("code of" in line for line in same[1])
    model.write_text(model.read_text().replace("nn.Flatten()", "nn.Flatten(), nn.ReLU()"))
    changed = command(write(tmp_path / "a.toml", 0.5, config=config, **versions))
    assert any(name in line and given[1][name] in line for line in changed[1])


def record(values):
    return reproduction.Recorded(
        path=None, config=CONFIG, metric="val_loss", value=values[0], values=values, facts={}
    )


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_the_prediction_interval_is_that_of_the_book(values):
    low, high = record(tuple(values)).interval()
    n = len(values)
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    half = scipy.stats.t.ppf(0.975, n - 1) * sd * math.sqrt(1 + 1 / n)
    assert low == pytest.approx(mean - half, abs=1e-6)
    assert high == pytest.approx(mean + half, abs=1e-6)


def test_one_more_training_lies_in_it_as_often_as_it_says():
    import numpy

    random = numpy.random.default_rng(0)
    draws = random.normal(size=(4000, 5))
    inside = 0
    for *values, one_more in draws.tolist():
        low, high = record(tuple(values)).interval()
        inside += low <= one_more <= high
    assert inside / len(draws) == pytest.approx(0.95, abs=0.015)


def test_equal_values_leave_room_for_the_rounding():
    low, high = record((0.98, 0.98, 0.98)).interval(step=0.001)
    assert low < 0.98 < high and high - low < 0.004
    verdict = reproduction.compare_with_record(record((0.98, 0.98)), 0.985, {}, step=0.0)
    assert verdict.outcome == reproduction.OUTSIDE


def test_a_wide_spread_lets_another_seed_through():
    verdict = reproduction.compare_with_record(record((0.98, 0.97, 0.99)), 0.975, {"torch": "2"})
    assert (verdict.outcome, verdict.differences) == (reproduction.WITHIN, ())
