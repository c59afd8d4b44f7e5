"""``python -m mnist_core tune-lr`` and ``tune-batch``: what they print, write and refuse."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import programs
import psutil
import pytest
from PIL import Image
from waiting import PATIENCE, until

from mnist_core import __main__ as program
from mnist_core.console import command_line
from mnist_core.finders import isolated

QUICK = ["--model", "lenet5", "--device", "cpu", "--set", "precision=fp32", "--set", "threads=1"]


class Ended:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err.splitlines()


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the program in this process, in an empty folder."""

    def call(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        return Ended(caught.value.code or 0, *capsys.readouterr())

    return call


def test_tune_lr(run, tmp_path):
    ended = run("tune-lr", *QUICK, "--steps", 150)
    assert (ended.code, ended.err) == (0, [])
    lines = ended.out.splitlines()
    assert lines[0] == (
        "lenet5 on mnist-10pct, adam; cpu, fp32, 1 thread, batch 64: 150 steps, "
        "learning rate 1e-07 to 10"
    )
    stem = tmp_path / "results/tune-lr/lenet5-mnist-10pct-adam-b64-s0"
    with Image.open(stem.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
    with stem.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 50 < len(rows) <= 150
    suggestion = re.fullmatch(r"suggestion: --set optim.lr=(\S+)", lines[-1])
    assert suggestion
    assert any(float(row["lr"]) == pytest.approx(float(suggestion[1]), rel=0.05) for row in rows)
    table = [float(found[1]) for found in re.finditer(r"^ +([\d.e-]+)   (the|it)", ended.out, re.M)]
    assert table == sorted(table)
    assert float(suggestion[1]) in table


def test_tune_lr_is_reproducible(run):
    words = ("tune-lr", *QUICK, "--steps", 25, "--seed", 3)
    assert run(*words).out == run(*words).out


def test_tune_lr_without_an_answer(run, tmp_path):
    ended = run("tune-lr", *QUICK, "--high", 1e-6, "--steps", 20, "--folder", "here")
    assert ended.code == 1
    assert len(ended.err) == 1
    assert ended.err[0].startswith("error: no learning rate to suggest: the loss never falls")
    # The picture shows why.
    assert len(list((tmp_path / "here").iterdir())) == 2


class Here:
    """Stands for `Isolated`: it calls in this process; test_isolated.py has real children."""

    def __init__(self, function, *, memory):
        self.function = function

    def __class_getitem__(cls, of):
        return cls

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def close(self):
        pass


def test_tune_batch(run, monkeypatch):
    monkeypatch.setattr(isolated, "Isolated", Here)
    words = ["--low", 500, "--high", 1000, "--seconds", 0.05, "--repeats", 2]
    ended = run("tune-batch", *QUICK, "--set", "optim.name=sgd", *words)
    assert (ended.code, ended.err) == (0, [])
    lines = ended.out.splitlines()
    assert lines[0].startswith(
        "lenet5 on mnist-10pct, sgd; cpu, fp32, 1 thread: batches of 500 to 1,000 of 5,000 an "
        "epoch; memory "
    )
    assert lines[1:4] == ["what fits into memory", "round 1 of 2", "round 2 of 2"]
    rows = [line.split() for line in lines if re.match(r" +[\d,]+ +[\d,]+ +\d+%", line)]
    assert [row[0] for row in rows] == ["500", "1,000"]
    assert [row[4] for row in rows] == ["10", "5"]  # steps an epoch
    assert "largest: 1,000 (the end of the range)" in ended.out
    suggestion = re.search(r"suggestion: --set batch_size=(500|1000) ", ended.out)
    assert suggestion
    assert lines[-1] == (
        "Another batch size needs another learning rate: python -m mnist_core tune-lr --model "
        "lenet5 --device cpu --set precision=fp32 --set threads=1 --set optim.name=sgd "
        f"--set batch_size={suggestion[1]}"
    )


@pytest.mark.long
def test_tune_batch_of_pairs_counts_pairs(run):
    words = ["--model", "siamese", "--set", "pairs.per_epoch=100", "--set", "threads=1"]
    ended = run("tune-batch", *words, "--low", 60, "--seconds", 0.01, "--repeats", 1)
    assert (ended.code, ended.err) == (0, [])
    assert "batches of 60 to 100 of 100 an epoch" in ended.out
    assert "largest: 100 (the end of the range)" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tune-lr", "--low", "1", "--high", "0.1"], "the range must be 0 < low < high"),
        (["tune-lr", "--steps", "3"], "steps must be at least 20, but got 3"),
        (["tune-lr", "--set", "optim.lrr=1"], "--set: unknown setting 'optim.lrr'"),
        (["tune-lr", "--model", "nett"], "model.name: unknown model 'nett'"),
        (["tune-lr", "nothing.toml"], "nothing.toml: cannot be read"),
        (["tune-lr", "--folder", "/dev/null/x"], "--folder"),
        (["tune-batch", "--share", "0"], "--share must be above 0 and at most 1, but got 0"),
        (["tune-batch", "--low", "6000"], "the range must be 1 <= low <= high, but got 6000 to"),
        (["tune-batch", "--share", "0.000001"], "not even a batch of 32 fits into memory"),
    ],
)
def test_refused(run, words, said):
    ended = run(*words)
    assert ended.code == 1
    assert len(ended.err) == 1
    assert ended.err[0].startswith(f"error: {said}")


@pytest.mark.parametrize("command", ["tune-lr", "tune-batch"])
def test_help_is_quick_and_teaches(command, root):
    """It imports neither torch nor matplotlib, which take seconds."""
    code = (
        "import sys; from mnist_core import __main__ as m\n"
        "from mnist_core.console import command_line\n"
        f"sys.argv = ['mnist_core', '{command}', '--help']\n"
        "try: command_line.run(m.app, 'python -m mnist_core')\n"
        "finally: assert not {'torch', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Examples" in ended.stdout
    assert f"python -m mnist_core {command}" in ended.stdout


@pytest.mark.parametrize("later", [0.0, pytest.param(3.0, marks=pytest.mark.long)])
def test_ctrl_c_ends_it_with_its_child(root, later):
    """As from a terminal: the signal goes to the whole process group, while the child starts too.

    The sizes are to be tried for a minute each, so it cannot have ended by itself.
    """
    process = programs.start_module(
        "mnist_core",
        partial(command_line.run, program.app, "python -m mnist_core"),
        *("tune-batch", *QUICK, "--seconds", "60"),
        cwd=root,
        start_new_session=True,
    )
    try:
        family = psutil.Process(process.pid)
        # Python's resource tracker is one of the two.
        until(
            lambda: len(family.children(recursive=True)) >= 2, alive=lambda: process.poll() is None
        )
        time.sleep(later)
        children = family.children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines() in ([], ["interrupted"])  # nobody's traceback
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
