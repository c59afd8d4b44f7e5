"""``python -m mnist_core train``: what it prints, reproduces and refuses.

The runs take mlp512 at batch 500: an epoch of the 5,000 embedded images is a quarter of a second.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
import torch
from small_data import of_small_data
from waiting import PATIENCE

from mnist_core import __main__ as program
from mnist_core import presets
from mnist_core.checkpoints import checkpoint
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import load
from mnist_core.errors import UserError
from mnist_core.runs import training_run
from mnist_core.train import train

QUICK = {
    "model.name": "mlp512",
    "batch_size": 500,
    "epochs": 1,
    "optim.lr": 0.01,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
}
SETS = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]


class Ended:
    """What a run left: exit code, lines of both outputs."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out.splitlines(), err.splitlines()


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the program in this process, as ``python -m mnist_core`` would, in a folder of its own.

    Pictures take longer than the training; `test_training_run.py` has them drawn.
    """
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def call(*words):
        if words[0] == "train" and "--resume" not in words:
            words = (*words, "--no-pictures")
        monkeypatch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        return Ended(caught.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def done(run):
    """Run a training that must end well; return its lines."""

    def call(*words):
        ended = run("train", *words)
        assert (ended.code, ended.err) == (0, [])
        return ended.out

    return call


@pytest.fixture
def refused(run):
    """Run what must be refused; return the line."""

    def call(*words):
        ended = run("train", *words)
        assert ended.code == 1
        assert len(ended.err) == 1
        assert ended.err[0].startswith("error: ")
        return ended.err[0].removeprefix("error: ")

    return call


@pytest.fixture(scope="module")
def reference():
    """The same training through the library."""
    return train(TrainConfig().override(QUICK), load(DataConfig()))


def config_file(path, record=None, **changes):
    nested = TrainConfig().override(QUICK | changes).to_dict()
    path.write_text(tomli_w.dumps(nested | ({"record": record} if record is not None else {})))
    return path


def test_what_it_prints(done, reference):
    first, epoch, last, place = done(*SETS)
    assert first == (
        "mlp512 on mnist-10pct (5,000 images), adam lr 0.01, 1 epoch of batch 500, seed 0; "
        "cpu, fp32, 1 thread"
    )
    metrics = reference.metrics
    assert epoch == (
        f"epoch 1/1  train loss {metrics['train_loss']:.4f}  "
        f"validation loss {metrics['val_loss']:.4f}  accuracy {metrics['val_accuracy']:.2%}"
    )
    assert last.startswith(
        f"validation accuracy {metrics['val_accuracy']:.4f}, macro-F1 "
        f"{metrics['val_macro_f1']:.4f}, loss {metrics['val_loss']:.4f}; 669,706 parameters; "
    )
    assert re.search(r"; \d+\.\d s \([\d,]+ images/s on .+\)$", last)
    assert re.fullmatch(
        r"everything about it: results/runs/cpu/\d{8}-\d{6}-mlp512-[0-9a-f]{6}", place
    )


def test_a_line_for_each_report(done):
    lines = done(*SETS, "--set", "reports_per_epoch=4", "--set", "epochs=2")
    places = [line.split("  ")[0] for line in lines[1:-2]]
    assert places == [f"epoch {k / 4:g}/2" for k in range(1, 9)]


def test_options_are_settings_and_win_over_the_file(done, tmp_path):
    path = config_file(tmp_path / "c.toml", epochs=3, seed=1)
    options = ["--model", "lenet5", "--epochs", 1, "--seed", 5, "--device", "cpu"]
    lines = done(path, *options, "--dataset", "mnist-10pct", "--set", "optim.name=sgd")
    assert lines[0] == (
        "lenet5 on mnist-10pct (5,000 images), sgd lr 0.01, 1 epoch of batch 500, seed 5; "
        "cpu, fp32, 1 thread"
    )


def test_a_file_alone(done, reference, tmp_path):
    lines = done(config_file(tmp_path / "c.toml"))
    assert lines[-2].startswith(f"validation accuracy {reference.metrics['val_accuracy']:.4f}, ")
    assert len(lines) == 4


@pytest.mark.parametrize("name", ["model.safetensors", "[bold]x[/nothing] :smile:.safetensors"])
def test_save(done, reference, tmp_path, name):
    """The file's name is printed as it is, whatever it holds."""
    path = tmp_path / "new" / name
    assert done(*SETS, "--save", path)[-2] == f"model written to {path}"
    saved = checkpoint.load(path)
    assert saved.config == reference.config
    assert saved.metrics == reference.metrics
    weights = reference.model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in saved.model.state_dict().items())


def test_a_recorded_accuracy_comes_out_exactly(done, reference, tmp_path):
    accuracy = reference.metrics["val_accuracy"]
    path = config_file(tmp_path / "best.toml", {"val_accuracy": accuracy, "note": "[/b]"})
    expected = f"reproduced: the recorded validation accuracy {accuracy!r}, exactly"
    assert done(path)[-2] == expected
    resolved = reference.config.to_dict() | {"record": {"val_accuracy": accuracy}}
    path.write_text(tomli_w.dumps(resolved))
    assert done(path, "--no-save")[-1] == expected


@pytest.mark.parametrize(
    ("record", "options", "why"),
    [
        ({}, [], "no difference of data, device or torch explains it"),
        ({"torch": torch.__version__}, [], "no difference of data, device or torch explains it"),
        ({"torch": "1.0"}, [], f"torch was 1.0, is {torch.__version__}"),
        ({"device_name": "[/abacus]"}, [], "device_name was [/abacus], is "),
        ({"data_fingerprint": "0" * 16}, [], f"data_fingerprint was {'0' * 16}, is "),
        ({}, ["--seed", 1], "settings were changed on the command line"),
    ],
)
def test_another_accuracy_is_reported_with_its_reason(
    done, reference, tmp_path, record, options, why
):
    path = config_file(tmp_path / "best.toml", {"val_accuracy": 0.123} | record)
    last = done(path, *options, "--no-save")[-1]
    assert last.startswith("not the recorded validation accuracy: 0.123, but now 0.")
    assert f"({why}" in last
    if not options:
        assert repr(reference.metrics["val_accuracy"]) in last


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nett"], "model.name: unknown model 'nett'; did you mean 'net'? (valid: "),
        (["--dataset", "mnsit"], "data.name: unknown data set 'mnsit'; did you mean 'mnist'?"),
        (["--set", "optim.name=adm"], "optim.name: unknown optimizer 'adm'; did you mean 'adam'?"),
        (["--set", "loss.name=hinge"], "loss.name: unknown loss 'hinge'"),
        (["--set", "optim.lrr=1"], "--set: unknown setting 'optim.lrr'; did you mean 'optim.lr'?"),
        (["--set", "lr=1"], "--set: unknown setting 'lr'; did you mean 'optim.lr'?"),
        (["--set", "epochs"], "--set 'epochs': write KEY=VALUE"),
        (["--set", "epochs=many"], "--set: epochs: input should be a valid integer"),
        (["--epochs", "0"], "--epochs: input should be greater than or equal to 1"),
        (["--seed", "-1"], "--seed: input should be greater than or equal to 0"),
        (["--device", "gpu"], "--device: must be auto, cpu, cuda or cuda:N, but got 'gpu'"),
        (["--set", "optim.momentum=0.5"], "optim.momentum: 'adam' has no momentum"),
        (["--set", "reports_per_epoch=99"], "reports_per_epoch: 99 is more than the 79 steps"),
        (["no\nfile.toml"], "no file.toml: cannot be read: "),
        (["."], ".: cannot be read: "),
    ],
)
def test_mistakes(refused, words, said):
    assert refused(*words).startswith(said)


def test_no_gpu(refused):
    assert refused("--device", "cuda").startswith(
        "device: 'cuda' was asked for, but torch finds no"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"epochs = ", "is not valid TOML: "),
        (b"epochs = 1\nepochs = 2", "is not valid TOML: "),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"epochs = " + b"1" * 5_000, "is not valid TOML: "),
        (b"epohcs = 1", "unknown setting 'epohcs'; did you mean 'epochs'?"),
        (b"[optim]\nlr = nan", "optim.lr: input should be a finite number, but got nan"),
        (b"optim = 1", "optim: input should be a valid dictionary"),
        (b"record = 1", "record must be a table, but got 1"),
    ],
    ids=range(8),
)
def test_mistakes_in_the_file(refused, tmp_path, content, said):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: {said}")


def test_a_training_that_fails(refused):
    words = ["--set", "optim.name=sgd", "--set", "optim.lr=100", "--set", "optim.weight_decay=10"]
    line = refused(*SETS, *words, "--set", "epochs=2")
    assert re.fullmatch(
        r"the training ended: NonFiniteLoss: train_loss is (nan|inf) after step 10 of 20 "
        r"\(lr 100, sgd\)",
        line,
    )


def test_a_place_that_cannot_be_written_is_refused_before_the_training(run, tmp_path):
    (tmp_path / "file").write_text("")
    for place, named in ((tmp_path / "file" / "model", "file"), (tmp_path, str(tmp_path))):
        ended = run("train", *SETS, "--save", place)
        assert (ended.code, ended.out) == (1, [])
        assert len(ended.err) == 1 and named in ended.err[0]


def test_a_record_without_a_value_is_said(done, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(tomli_w.dumps({"record": {"study": "x"}}))
    assert (
        done(file, *SETS, "--no-save")[-1]
        == "nothing to compare with: the record has no val_accuracy"
    )


@pytest.mark.parametrize("precision", ["fp16", "fp32", "bf16"])
def test_a_precision_that_a_cpu_is_slow_with_is_said(done, precision):
    lines = done("--no-save", *SETS, *of_small_data(), "--set", f"precision={precision}")
    said = "warning: fp16 takes several times as long as fp32 on a CPU; use fp32 or bf16"
    assert (lines[1] == said) == (precision == "fp16")


def test_early_stopping_is_said(done):
    said = done(*SETS, "--set", "epochs=9", "--set", "early_stopping=1", "--set", "optim.lr=3.0")
    (line,) = [line for line in said if line.startswith("stopped early")]
    assert re.fullmatch(
        r"stopped early after \d reports; the model is that of report \d, the best", line
    )


@pytest.mark.parametrize("words", [["train", "--what"], ["train", "--epochs", "two"], ["trian"]])
def test_a_command_line_that_cannot_be_read(run, words):
    ended = run(*words)
    assert ended.code == 2
    assert any("Usage" in line for line in ended.err)


def test_a_defect_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(training_run, "_train", fail)
    monkeypatch.setattr(sys, "argv", ["mnist_core", "train", "--out", str(tmp_path)])
    with pytest.raises(ZeroDivisionError):
        command_line.run(program.app, "python -m mnist_core")
    (facts,) = (json.loads(path.read_text()) for path in tmp_path.glob("cpu/*/run.json"))
    assert (facts["status"], facts["reason"]) == ("failed", "ZeroDivisionError()")


def test_an_error_of_several_lines_becomes_one(refused, monkeypatch):
    def fail(*_):
        raise UserError("one\n  two")

    monkeypatch.setattr(training_run, "_train", fail)
    assert refused(*SETS) == "one two"


def python(*words, root):
    return subprocess.run(
        [sys.executable, *words], cwd=root, capture_output=True, text=True, timeout=PATIENCE
    )


def test_as_a_program(root, reference):
    """Once for real: a process of its own gives the same numbers and takes the same mistakes."""
    ran = python("-m", "mnist_core", "train", *SETS, "--no-save", root=root)
    assert (ran.returncode, ran.stderr) == (0, "")
    accuracy = reference.metrics["val_accuracy"]
    assert f"\nvalidation accuracy {accuracy:.4f}, " in ran.stdout
    wrong = python("-m", "mnist_core", "train", "--set", "lr=1", root=root)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: --set: unknown setting 'lr'")
    assert len(wrong.stderr.splitlines()) == 1


HELP = """
import sys
from pathlib import Path
sys.argv = ["mnist_core", "train", "--help"]
from mnist_core import __main__
from mnist_core.console import command_line
try:
    command_line.run(__main__.app, "python -m mnist_core")
finally:
    heavy = {"torch", "torchvision", "optuna", "ray", "wandb", "pandas", "matplotlib"}
    print("heavy:", sorted(heavy & set(sys.modules)))
"""


def test_help_imports_nothing_heavy(root):
    ran = python("-c", HELP, root=root)
    assert ran.returncode == 0
    assert "heavy: []" in ran.stdout
    assert "KEY=VALUE" in ran.stdout


def test_a_preset_is_trained_by_its_file_or_its_name(run, monkeypatch):
    """With the settings of the preset; of several variants one is named."""
    plans = []
    monkeypatch.setattr(training_run, "run", lambda plan, console: plans.append(plan))
    folder = Path(presets.__file__).parent
    for name in ("drawing_cnn.toml", "drawing_cnn", folder / "drawing_cnn.toml"):
        assert run("train", name, "--dataset", "mnist-10pct").code == 0
        expected = presets.load("drawing_cnn").config.override({"data.name": "mnist-10pct"})
        assert plans.pop().config == expected
    assert run("train", "optimizer_compare", "--variant", "sgd").code == 0
    assert (plans[0].config.optim.name, plans[0].config.optim.lr) == ("sgd", 0.01)
    for words, said in (
        (["optimizer_compare"], "--variant (sgd, adam,"),
        (["optimizer_compare", "--variant", "sdg"], "did you mean 'sgd'?"),
        (["--variant", "sgd"], "names a training of a preset"),
        (["drawing_cn.toml"], "cannot be read"),
    ):
        ended = run("train", *words)
        assert (ended.code, ended.out, len(ended.err)) == (1, [], 1) and said in ended.err[0]
