"""Beginning a run of W&B, and knowing its folder again."""

import importlib
import netrc
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from studies.core.redaction import masked

AT_ONCE = 100
"""Runs a call of W&B's command."""
PATIENCE = 300.0
"""Seconds without one run more, after which an upload is given up."""


def waiting(folder: Path) -> list[Path]:
    """Return the offline runs in ``folder`` that were not uploaded yet, oldest first."""
    runs = [run for run in folder.glob("offline-run-*") if any(run.glob("*.wandb"))]
    return sorted(run for run in runs if not any(run.glob("*.synced")))


def upload(folder: Path, say: Callable[[str], object], *, patience: float = PATIENCE) -> None:
    """Upload what waits in ``folder``; ``say`` gets a line about it.

    Raises:
        UserError: nobody is logged in, there is no network, or not all could be uploaded.
    """
    runs = waiting(folder)
    if not runs:
        say("nothing waits to be uploaded")
        return
    try:
        check_account()
    except AccountProblem as problem:
        raise UserError(f"wandb: {problem}; runs that wait in {folder}: {len(runs)}") from None
    for start in range(0, len(runs), AT_ONCE):
        _sync(runs[start : start + AT_ONCE], folder, patience)
    left = len(waiting(folder))
    if left:
        raise UserError(
            f"wandb: {left} of {counted(len(runs), 'run')} in {folder} were not uploaded; see"
            " above, and run"
            " this again"
        )
    say(f"runs uploaded: {len(runs)}")


def _sync(runs: list[Path], folder: Path, patience: float) -> None:
    """Run ``wandb sync``, and end it when it gets nowhere."""
    command = [sys.executable, "-m", "wandb", "sync", *(str(run) for run in runs)]
    # Its log is for the study's folder, not for wherever this is run.
    environment = os.environ | {"WANDB_DIR": str(runs[0].parents[1])}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    left, since = len(runs), time.monotonic()
    try:
        while process.poll() is None and time.monotonic() - since < patience:
            time.sleep(0.2)
            now = sum(not any(run.glob("*.synced")) for run in runs)
            if now < left:
                left, since = now, time.monotonic()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


SECONDS = 5
"""So long the server may take to answer."""


class AccountProblem(Exception):
    """Nobody is logged in, or the server cannot be reached; the message says so in a line."""


def server() -> str:
    """Return the address of the W&B server that this user uses; it starts W&B's service."""
    import wandb

    return str(wandb.setup().settings.base_url)


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


def reachable(address: str) -> bool:
    """Whether anything answers at ``address``, by way of a proxy where one is set."""
    try:
        urllib.request.urlopen(address, timeout=SECONDS).close()
    except urllib.error.HTTPError:
        return True  # it answers
    except (OSError, ValueError):
        return False
    return True


def check_account() -> None:
    """Check that runs can be sent.

    Raises:
        AccountProblem: they cannot.
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


_HEADER = b":W&B"
_START, _BLOCK, _PIECE = 7, 32 * 1024, 7
"""Bytes of the file's header, of a block, and of the header of a piece of a record."""
_WHOLE, _FIRST, _LAST = 1, 2, 4
"""Kinds of pieces; a record that does not fit into its block is cut into several."""
_PAUSE = 0.01


def ended(path: Path) -> bool:
    """Whether the run in ``path`` is there to its end; also where the format is not known.

    Raises:
        OSError: the file is there, but cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if not content.startswith(_HEADER):
        return len(content) >= _START
    last = _last_record(content)
    return last is not None and _is_exit(last)


def wait_until_ended(path: Path, seconds: float) -> bool:
    """Wait until the run in ``path`` is there to its end; False: it is not, after ``seconds``.

    Raises:
        OSError: the file is there, but cannot be read.
    """
    until = time.monotonic() + seconds
    while not ended(path):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


def _last_record(content: bytes) -> bytes | None:
    """Return the record that ends with the file; None: the file ends within one."""
    place, record, whole = _START, b"", False
    while place < len(content):
        if _BLOCK - place % _BLOCK < _PIECE:  # filled up with zeros
            place += _BLOCK - place % _BLOCK
            continue
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        end = place + _PIECE + length
        if end > len(content):
            return None
        kind, piece = content[place + 6], content[place + _PIECE : end]
        record = piece if kind in (_WHOLE, _FIRST) else record + piece
        whole = kind in (_WHOLE, _LAST)
        place = end
    return record if whole else None


def _is_exit(record: bytes) -> bool:
    # It makes its names at run time.
    records: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    return bool(records.Record.FromString(record).HasField("exit"))


INIT_SECONDS = 20.0
"""An online run that the server has not answered for by then is not begun."""
_FOLDER = re.compile(r"(?:offline-)?run-\d+_\d+-(.+)")


def begin_run(about: dict[str, Any], began: float, *, online: bool) -> Any:
    """Return a new run.

    Args:
        about: arguments of ``wandb.init``.
        began: seconds after 1970, or 0.
        online: whether it is sent while it is written; one of the same id goes on.

    Raises:
        wandb.errors.Error: it is to be sent, and the server takes it not, or does not answer.
    """
    import wandb

    return wandb.init(
        **about,
        resume="allow" if online else None,
        reinit="create_new",
        settings=wandb.Settings(
            mode="online" if online else "offline",
            console="off",
            silent=True,
            init_timeout=INIT_SECONDS,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_start_time=began or None,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            # Listing all packages takes forty times as long as all the rest.
            x_save_requirements=False,
            # A kill loses a second of history, not fifteen.
            x_transaction_log_flush_interval=1,
        ),
    )


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into tables, as W&B wants them, but for a name that is a table, too."""
    found: dict[str, Any] = {}
    for name in sorted(config):
        *parents, leaf = name.split(".")
        table: Any = found
        for parent in parents:
            table = table.setdefault(parent, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[leaf] = config[name]
        else:
            found[name] = config[name]
    return found


def is_of_run(folder: Path, identity: str) -> bool:
    """Whether ``folder`` is that of run ``identity``, not of one whose id ends alike."""
    found = _FOLDER.fullmatch(folder.name)
    return found is not None and found[1] == identity
