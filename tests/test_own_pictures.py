"""The commands of docs/own_pictures.md, run as written on generated colour pictures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```bash\n(.*?)```", re.S)
COMMANDS = [
    line
    for block in BLOCK.findall((ROOT / "docs/own_pictures.md").read_text(encoding="utf-8"))
    for line in block.splitlines()
]


def make(root, n=40, side=24):
    """Draw discs of five colours on grounds of any colour."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    for number, name in enumerate(("apple", "kiwi", "lemon", "orange", "plum")):
        (root / name).mkdir(parents=True)
        hue = 127 + 127 * np.cos(2 * np.pi * (number / 5 + np.array([0, 1 / 3, 2 / 3])))
        for i in range(n):
            column, row = random.uniform(side * 0.4, side * 0.6, 2)
            inside = (x - column) ** 2 + (y - row) ** 2 < (side * random.uniform(0.2, 0.35)) ** 2
            picture = np.where(inside[..., None], hue, random.uniform(0, 255, 3))
            noisy = picture + random.normal(0, 20, (side, side, 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:04}.png")


def run(command, folder):
    words = command.split()
    assert words[0] == "python"
    changed = {
        "PYTHONPATH": str(ROOT),
        "MNIST_STUDIES_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "disabled",
    }
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={**os.environ, **changed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_the_commands_run_as_written(tmp_path):
    make(tmp_path / "pictures")
    assert len(COMMANDS) >= 2
    for command in COMMANDS:
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "apple" in done.stdout or "studies" in command
    report = (tmp_path / "results/optim_search-quick/report.html").read_text(encoding="utf-8")
    assert "apple" in report
