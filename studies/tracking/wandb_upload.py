"""Uploading offline runs to W&B."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.console.shell_words import python
from mnist_core.errors import UserError
from mnist_core.tracking.wandb_account import AccountProblem, check_account

AT_ONCE = 100
"""Runs that one call of ``wandb sync`` uploads."""
PATIENCE = 300.0
"""Seconds without a further run after which an upload is given up."""


def waiting(folder: Path) -> list[Path]:
    """Return the offline runs in ``folder`` that were not uploaded yet, oldest first."""
    runs = [run for run in folder.glob("offline-run-*") if any(run.glob("*.wandb"))]
    return sorted(run for run in runs if not any(run.glob("*.synced")))


def upload(folder: Path, say: Callable[[str], object], *, patience: float = PATIENCE) -> None:
    """Upload what waits in ``folder``; ``say`` gets a line about it.

    Raises:
        UserError: if no one is logged in, there is no network, or not all could be uploaded.
    """
    runs = waiting(folder)
    if not runs:
        say("nothing waits to be uploaded")
        return
    try:
        check_account()
    except AccountProblem as problem:
        raise UserError(f"wandb: {problem}; runs that wait in {folder}: {len(runs)}") from None
    # A command line has a limit; a hundred paths are far below it.
    for start in range(0, len(runs), AT_ONCE):
        _sync(runs[start : start + AT_ONCE], patience)
    left = len(waiting(folder))
    if left:
        raise UserError(
            f"wandb: {left} of {counted(len(runs), 'run')} in {folder} were not uploaded; see"
            " above, and run this again"
        )
    say(f"runs uploaded: {len(runs)}")


def _sync(runs: list[Path], patience: float) -> None:
    """Run ``wandb sync``, and end it when it makes no progress."""
    command = [*python(), "-m", "wandb", "sync", *(str(run) for run in runs)]
    # Its log belongs in the study's folder, not where this is run.
    environment = os.environ | {"WANDB_DIR": str(runs[0].parents[1])}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    left, since = len(runs), time.monotonic()
    try:
        # The time since the last run that arrived counts, not the time of all: uploads may be slow.
        while process.poll() is None and time.monotonic() - since < patience:
            time.sleep(0.2)
            now = sum(not any(run.glob("*.synced")) for run in runs)
            if now < left:
                left, since = now, time.monotonic()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
