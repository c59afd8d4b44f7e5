"""The parts of W&B that its documentation does not promise: no other module uses any.

Each is checked when it is first used. If it is not as expected, the public way takes its place,
and one line in the log says so.
"""

import configparser
import contextlib
import functools
import importlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from mnist_core.errors import UserError

INIT_SECONDS = 20.0
"""An online run that the server has not answered for by then is not started."""
_PAUSE = 0.01
_PUBLIC = "https://api.wandb.ai"
_log = logging.getLogger(__name__)

_UNSTABLE_SETTINGS: dict[str, Any] = {
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    # Listing all packages takes forty times as long as all the rest.
    "x_save_requirements": False,
    # A kill loses a second of history, not fifteen.
    "x_transaction_log_flush_interval": 1,
}
"""Settings with ``x_`` may change with any version. They save time; no result depends on them."""


@functools.cache
def _say_once(line: str) -> None:
    _log.warning("this version of W&B is not one that this program knows: %s", line)


_LATE = "wandb.sdk.launch.inputs.internal"
"""W&B imports it when its first run starts, which takes as long as a tenth of the whole import."""


def import_all() -> None:
    """Import W&B with what it imports later by itself."""
    importlib.import_module("wandb")
    with contextlib.suppress(ImportError):  # another version: then it comes later, or never
        importlib.import_module(_LATE)


def run_settings(*, online: bool, began: float) -> Any:
    """Return the ``wandb.Settings`` of a run that began at ``began``, seconds after 1970, or 0."""
    import wandb

    wanted = {"x_start_time": began or None, **_UNSTABLE_SETTINGS}
    known = getattr(wandb.Settings, "model_fields", {})
    missing = [name for name in wanted if name not in known]
    if missing:
        _say_once(f"it has no setting {', '.join(missing)}; runs take longer to start")
    return wandb.Settings(
        mode="online" if online else "offline",
        console="off",
        silent=True,
        init_timeout=INIT_SECONDS,
        disable_git=True,
        disable_code=True,
        save_code=False,
        **{name: value for name, value in wanted.items() if name in known},
    )


def server() -> str:
    """Return the address of this user's W&B server; it starts W&B's service."""
    import wandb

    address = getattr(getattr(wandb.setup(), "settings", None), "base_url", None)
    if isinstance(address, str) and address:
        return address
    _say_once("wandb.setup() does not name the server; WANDB_BASE_URL does")
    return os.environ.get("WANDB_BASE_URL", _PUBLIC)


def configured_server() -> str:
    """Return the address of this user's W&B server as its files say; W&B is not started."""
    if given := os.environ.get("WANDB_BASE_URL"):
        return given
    own = os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb"
    here = Path(os.environ.get("WANDB_DIR") or Path.cwd()) / "wandb"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([Path(own) / "settings", here / "settings"], encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return _PUBLIC
    return parser.get("default", "base_url", fallback=_PUBLIC)


def report_json(report: Any) -> dict[str, Any]:
    """Return what a report of ``wandb_workspaces`` would send to the server.

    Raises:
        UserError: if this version does not tell that.
    """
    try:
        text = report._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    except AttributeError as error:
        raise UserError(
            f"wandb-report: this version of wandb-workspaces cannot write a report to a file"
            f" ({error}); leave --out away to send the report"
        ) from None
    found: dict[str, Any] = json.loads(text)
    return found


_HEADER = b":W&B"
_START, _BLOCK, _PIECE = 7, 32 * 1024, 7
"""Bytes of the file's header, of a block, and of the header of a piece of a record."""
_WHOLE, _FIRST, _LAST = 1, 2, 4
"""Kinds of pieces; a record that does not fit into its block is cut into several."""


def run_file(run: Any) -> Path:
    """Return the file that an offline run is written to."""
    return Path(run.dir).parent / f"run-{run.id}.wandb"


def ended(path: Path) -> bool:
    """Whether the run in ``path`` is on disk to its end; also if the format is not known.

    Raises:
        OSError: if the file is there, but cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if len(content) < _START:
        return False
    if not content.startswith(_HEADER) or _record_type() is None:
        _say_once("its files have another format; a run counts as written when W&B has ended it")
        return True
    last = _last_record(content)
    return last is not None and bool(_record_type().FromString(last).HasField("exit"))


def wait_until_ended(path: Path, seconds: float) -> bool:
    """Wait until the run in ``path`` is on disk to its end; False: it is not after ``seconds``."""
    until = time.monotonic() + seconds
    while not ended(path):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


@functools.cache
def _record_type() -> Any:
    """Return the protocol buffer of a record; None: it is not as expected."""
    try:
        # The module makes its names when it is imported.
        record: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
        return record if "exit" in record.DESCRIPTOR.fields_by_name else None
    except (ImportError, AttributeError):
        return None


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
