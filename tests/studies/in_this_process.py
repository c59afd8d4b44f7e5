"""The command lines in this process: a new one would import torch again, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mnist_core import __main__ as trainer
from studies import __main__ as looking
from studies import run
from studies.cli import options

ENTRANCES = {
    "studies": looking.main,
    "studies.run": lambda: options.main(run.app, "python -m studies.run"),
    "mnist_core": trainer.main,
}
SCRIPTS = {"studies": "studies", "mnist-core": "mnist_core"}


@pytest.fixture
def here(monkeypatch, capsys):
    """Runs ``python -m MODULE WORD …`` or ``SCRIPT WORD …``, e.g. of ``bin/studies``.

    It returns the exit code and what was printed.
    """

    def call(program, *words):
        script = Path(program).name if program.startswith("bin/") else None
        module = SCRIPTS[script] if script else program
        first = f"/venv/{program}" if script else f"{module}/__main__.py"
        monkeypatch.setattr(sys, "argv", [first, *map(str, words)])
        monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
        threads = torch.get_num_threads()
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            ENTRANCES[module]()
        torch.set_num_threads(threads)
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return call
