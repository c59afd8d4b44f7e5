"""The command lines in this process: a new one would import torch anew, which takes seconds."""

import subprocess
import sys

import pytest
import torch

from mnist_core import __main__ as trainer
from mnist_core.console import command_line
from studies import __main__ as looking
from studies import run
from studies.cli import options

ENTRANCES = {
    "studies": lambda: options.main(looking.app, "python -m studies"),
    "studies.run": lambda: options.main(run.app, "python -m studies.run"),
    "mnist_core": lambda: command_line.run(trainer.app, "python -m mnist_core"),
}


@pytest.fixture
def here(monkeypatch, capsys):
    """Runs ``python -m MODULE WORD …``; returns its exit code and what it printed."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", [module, *map(str, words)])
        monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
        threads = torch.get_num_threads()
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            ENTRANCES[module]()
        torch.set_num_threads(threads)
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return call
