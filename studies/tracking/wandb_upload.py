"""Uploading offline runs to W&B: whether somebody is logged in, and the upload itself."""

import netrc
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.console.shell_words import python
from mnist_core.errors import UserError
from studies.core.redaction import masked
from studies.tracking.wandb_internals import server

AT_ONCE = 100
"""Runs that one call of ``wandb sync`` uploads."""
PATIENCE = 300.0
"""Seconds without a further run after which an upload is given up."""
SECONDS = 5
"""Seconds that the server may take to answer."""


class AccountProblem(Exception):
    """No one is logged in, or the server cannot be reached; the message says so in a line."""


def check_account() -> None:
    """Check that runs can be sent.

    Raises:
        AccountProblem: if they cannot.
    """
    address = server()
    if not logged_in(address):
        raise AccountProblem("not logged in to W&B (wandb login)")
    if not reachable(address):
        raise AccountProblem(f"no network: {address} cannot be reached")
    import wandb

    try:
        wandb.Api(timeout=SECONDS)  # it asks the server whose key this is
    except wandb.errors.Error as error:
        reason = " ".join(masked(str(error)).split())
        raise AccountProblem(f"W&B refuses, or does not answer: {reason[:200]}") from None


def logged_in(address: str) -> bool:
    """Whether there is a key for the server at ``address``: in the environment, or in netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urllib.parse.urlsplit(address).hostname or address
    given = os.environ.get("NETRC")
    files = [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in files:
        try:
            if netrc.netrc(file).authenticators(host) is not None:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def reachable(address: str, *, seconds: float = SECONDS) -> bool:
    """Whether anything answers at ``address``, through a proxy if one is set."""
    try:
        urllib.request.urlopen(address, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True  # it answers
    except (OSError, ValueError):
        return False
    return True


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
