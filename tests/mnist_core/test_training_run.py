"""``train`` as a program: what it leaves, what a kill, Ctrl-C and a full disk leave of it.

The runs take mlp512 on the embedded images; one of them is broken off three times.
"""

import json
import os
import re
import resource
import shlex
import signal
import sys
import time
import tomllib
from pathlib import Path

import programs
import pytest
import torch
from waiting import PATIENCE

from mnist_core import __main__ as program
from mnist_core import files
from mnist_core.checkpoints import checkpoint
from mnist_core.checkpoints.evaluate_checkpoint import judge
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import load, load_test
from mnist_core.errors import UserError
from mnist_core.runs import figure_files, run_folder, run_record, training_run
from mnist_core.train import train

QUICK = {
    "model.name": "mlp512",
    "batch_size": 500,
    "epochs": 2,
    "optim.lr": 0.01,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
}
LONG = {**QUICK, "batch_size": 100, "epochs": 3, "schedule.name": "one_cycle"}
LONG |= {"reports_per_epoch": 2}
PAIRS = {**QUICK, "model.name": "siamese", "model.width": 4, "epochs": 1}
PAIRS |= {"pairs.per_epoch": 500, "pairs.evaluation": 300, "batch_size": 100}


def words(settings):
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run ``train`` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["mnist_core", "train", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        out, err = capsys.readouterr()
        return caught.value.code or 0, out.splitlines(), err.splitlines()

    return call


def only_run(folder):
    (path,) = (folder / "results" / "runs").glob("*/*")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def numbers(line):
    return [int(word) for word in line.split()[1:11]]


def test_what_a_training_leaves(run, tmp_path):
    code, out, err = run(*words(QUICK), "--test")
    assert (code, err) == (0, [])
    folder = only_run(tmp_path)
    assert out[-1] == f"everything about it: {folder.relative_to(tmp_path)}"
    assert names(folder) == sorted(
        [
            "best.safetensors",
            "config.toml",
            "confusion.csv",
            "confusion.png",
            "curves.png",
            "history.json",
            "last.safetensors",
            "metrics.csv",
            "misclassified.png",
            "overrides.toml",
            "precision_recall.png",
            "roc.png",
            "run.json",
            "samples.png",
            "train.log",
        ]
    )
    facts = run_record.read(folder)
    kept = checkpoint.load(folder / "last.safetensors")
    found = judge(kept, load_test(DataConfig()))
    (reading,) = facts["test_readings"]
    assert (reading["by"], reading["checkpoint"]) == ("train --test", "last")
    assert reading["metrics"] == found.metrics
    assert reading["confusion"] == found.confusion.tolist()
    assert facts["status"] == "done"
    assert facts["device_name"] and facts["peak_memory"] > 0
    log = (folder / "train.log").read_text().splitlines()
    assert log[:3] == out[:3] and log[-1] == out[-1]
    # Both confusion matrices, the test images' also on the screen.
    matrix = [numbers(line) for line in log if re.match(r" \d  ", line)]
    assert matrix == facts["confusion"] + reading["confusion"]
    assert [numbers(line) for line in out if re.match(r" \d  ", line)] == reading["confusion"]
    changed = tomllib.loads((folder / "overrides.toml").read_text())["overrides"]
    assert changed == QUICK


def test_pairs(run, tmp_path, monkeypatch):
    monkeypatch.setattr(figure_files, "save", lambda figure, path: path.touch())
    code, _, err = run(*words(PAIRS), "--name", "mine")
    assert (code, err) == (0, [])
    folder = only_run(tmp_path)
    assert folder.name == "mine"
    assert {"roc.png", "precision_recall.png"} < set(names(folder))
    facts = run_record.read(folder)
    assert facts["judged"]["of"] == "pairs" and facts["judged"]["n"] == 300
    log = (folder / "train.log").read_text()
    assert "different" in log and "bootstrap over images" in log


def test_no_folder(run, tmp_path):
    code, out, _ = run(*words(QUICK), "--no-save")
    assert code == 0 and out[-1].startswith("validation accuracy")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["--set", "reports_per_epoch=900"],
        ["--set", "loss.name=triplet"],
        ["--dataset", "nothing"],
        ["--set", "model.depth=3"],
        ["--set", "data.root=gone"],
        ["--name", "a b"],
    ],
)
def test_what_is_refused_leaves_no_folder(run, tmp_path, wrong):
    code, _, err = run(*words(QUICK), "--set", "batch_size=50", *wrong)
    assert (code, len(err)) == (1, 1)
    assert list(tmp_path.glob("results/runs/*/*")) == []


def test_a_training_that_fails_is_recorded(run, tmp_path):
    sgd = {**QUICK, "optim.name": "sgd", "optim.lr": 100.0, "optim.weight_decay": 10}
    code, _, (error,) = run(*words(sgd), "--name", "bad")
    assert code == 1 and "NonFiniteLoss" in error and "--resume" not in error
    facts = run_record.read(only_run(tmp_path))
    assert facts["status"] == "failed" and "NonFiniteLoss" in facts["reason"]
    code, _, (error,) = run("--resume", "bad")
    assert code == 1 and "this run failed (" in error


def test_a_name_that_is_taken(run, tmp_path):
    (tmp_path / "results" / "runs" / "cpu" / "mine").mkdir(parents=True)
    code, out, (error,) = run(*words(QUICK), "--name", "mine")
    assert (code, out) == (1, [])
    assert error.startswith("error: --name mine: ") and "is there already" in error


@pytest.mark.parametrize(
    "options", [["--epochs", "3"], ["--name", "x"], ["--no-save"], ["--set", "seed=1"]]
)
def test_a_run_goes_on_as_it_began(run, options):
    code, _, (error,) = run("--resume", "x", *options)
    assert code == 1 and error.startswith("error: --resume x: ")


def test_what_was_asked_for_is_done_by_whoever_goes_on(run, tmp_path, monkeypatch):
    """Broken off when the model is written: the test images are still to be read."""
    save = tmp_path / "models" / "m.safetensors"

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "_judge", stop)
    code, out, err = run(*words(QUICK), "--test", "--no-pictures", "--save", save, "--name", "x")
    assert (code, err) == (130, ["interrupted"])
    command = "python -m mnist_core train --resume results/runs/cpu/x"
    assert out[-1] == f"interrupted; to resume: {command}"
    assert run_record.read(only_run(tmp_path))["status"] == "interrupted"
    save.unlink()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    code, out, err = run("--resume", "x")
    assert (code, err) == (0, [])
    assert save.is_file()
    facts = run_record.read(only_run(tmp_path))
    assert facts["status"] == "done" and len(facts["test_readings"]) == 1
    assert "curves.png" not in names(only_run(tmp_path))
    code, _, (error,) = run("--resume", "x")
    assert code == 1 and "nothing is left to train" in error


def test_a_model_that_can_be_written_is_written(run, tmp_path, monkeypatch):
    """The folder's disk is full at the end; --save is on another."""
    write = files.write_atomically

    def full(path, content):
        if path.suffix == ".safetensors" and path.parent.name == "x" and path.stem != "state":
            raise UserError(f"{path}: cannot be written: No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", full)
    monkeypatch.setattr(training_run, "_STATE_SECONDS", 0.0)
    code, out, (error,) = run(*words(QUICK), "--save", "m.safetensors", "--name", "x")
    assert code == 1 and not any("everything" in line for line in out)
    assert "last.safetensors: cannot be written: No space left on device; the model is in m.s" in (
        error
    )
    assert error.endswith("to resume: python -m mnist_core train --resume results/runs/cpu/x")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    code, _, _ = run("--resume", "x", "--no-pictures")
    assert code == 0
    saved = checkpoint.load(Path("m.safetensors")).model.state_dict()
    kept = checkpoint.load(only_run(tmp_path) / "last.safetensors").model.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in saved.items())


def held():
    """``train``, which waits for its end after so many reports; a state is written at each."""
    training_run._STATE_SECONDS = 0.0
    report, left = run_folder.RunFolder.report, int(os.environ["REPORTS"])

    def report_and_wait(self, step, metrics):
        nonlocal left
        report(self, step, metrics)
        left -= 1
        if left == 0:
            print("held", flush=True)
            time.sleep(3600)

    run_folder.RunFolder.report = report_and_wait
    train_command()


def on_a_full_disk():
    """``train``, where no file can be larger than 200 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    train_command()


def train_command():
    command_line.run(program.app, "python -m mnist_core")


@pytest.fixture
def start(tmp_path):
    """Starts ``train``; after so many ``reports`` it waits to be broken off. None is left."""
    started = []

    def start_one(args, run=held, reports=0, **options):
        words = ("mnist_core", "train", *args)
        env = {"REPORTS": str(reports)}
        started.append(programs.start(run, *words, env=env, cwd=tmp_path, **options))
        return started[-1]

    yield start_one
    for child in started:
        child.kill()
        child.communicate()


def until_held(child):
    while (line := child.stdout.readline()) != "held\n":
        assert line, child.stderr.read()


def test_ctrl_c_and_kill_9_cost_no_more_than_time(start, tmp_path):
    """Twice broken off, the run comes to the weights of one that never was, bit for bit."""
    child = start([*words(LONG), "--name", "x", "--no-pictures"], reports=2)
    folder = tmp_path / "results" / "runs" / "cpu" / "x"
    until_held(child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (130, "interrupted\n")
    facts = run_record.read(folder)
    assert facts["status"] == "interrupted" and "process" not in facts
    last = out.splitlines()[-1]
    command = shlex.split(last.removeprefix("interrupted; to resume: "))
    assert command[:4] == ["python", "-m", "mnist_core", "train"]

    child = start(command[4:], reports=3)
    until_held(child)
    child.kill()
    child.communicate()
    assert run_record.read(folder)["status"] == "running"
    with (folder / "metrics.csv").open("a") as file:
        file.write("7,3.5,0.")

    child = start(command[4:])
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (0, "")
    facts = run_record.read(folder)
    assert (facts["status"], facts["resumed"]) == ("done", 2)
    assert "s in all its parts" in out and "images/s" not in out

    whole = train(TrainConfig().override(LONG), load(DataConfig()), keep_best=True, follow=True)
    assert facts["metrics"] == whole.metrics
    assert facts["confusion"] == whole.confusion
    assert facts["best"] == {"step": whole.best.step, "metrics": whole.best.metrics}
    rows = run_record.read_metrics(folder)
    assert json.loads((folder / "history.json").read_text()) == rows
    assert [{**row, "seconds": 0} for row in rows] == [{**r, "seconds": 0} for r in whole.history]
    for name, weights in (("last", whole.model.state_dict()), ("best", whole.best.weights)):
        kept = checkpoint.load(folder / f"{name}.safetensors").model.state_dict()
        assert all(torch.equal(value, kept[key]) for key, value in weights.items())
    assert not [name for name in names(folder) if name.startswith((".saving", "state"))]


def test_a_disk_that_is_full(start, tmp_path):
    """A limit on the size of files stands for it: rows and log can be written, no state can."""
    child = start([*words(QUICK), "--no-pictures"], on_a_full_disk)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert re.fullmatch(r"error: .*\.safetensors: cannot be written: File too large\n", err)
    assert names(tmp_path / "results" / "runs" / "cpu") == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_output_that_cannot_be_written(start):
    with open("/dev/full", "w") as full:
        child = start([*words(QUICK), "--no-pictures"], train_command, stdout=full)
        _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert "Traceback" not in err and "No space left on device" in err
