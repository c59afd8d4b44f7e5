"""Whether an offline run is on disk to its end: W&B's ``finish`` returns a moment before it is.

W&B's service writes a run's records to its ``.wandb`` file in the format of LevelDB's logs
(https://github.com/google/leveldb/blob/main/doc/log_format.md), after a header of 7 bytes. The last
record says that the run has ended. A kill of the service, or a full disk, leaves a file without it.
"""

import importlib
import time
from pathlib import Path
from typing import Any

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
