"""The programs of ``benchmarks`` and ``benchmarks/ours`` can be imported: they use our names."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PROGRAMS = sorted([*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("ours/*.py")])


@pytest.mark.parametrize("folder", ["", "ours"])
def test_all_can_be_imported(folder):
    names = [file.stem for file in PROGRAMS if file.parent == BENCHMARKS / folder]
    assert names
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(f"import {name}" for name in names)],
        cwd=BENCHMARKS / folder,
        env={"PYTHONPATH": f"{BENCHMARKS.parent}:{BENCHMARKS}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
