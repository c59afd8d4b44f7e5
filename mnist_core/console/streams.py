"""The standard streams of a program, kept from ending its work.

A stream that is closed, or whose reader is gone (``| head``), goes nowhere; the exit code is that
of the work. A character that the encoding lacks (``PYTHONIOENCODING=ascii``) is spelled out.
"""

import codecs
import io
import os
import sys
from typing import IO, Any, TextIO

_IN_NOTEBOOK = "JPY_PARENT_PID"
"""Jupyter gives it to its kernels. The terminal of what they start only adds lines."""


def can_redraw(file: IO[str] | None) -> bool:
    """Return whether ``file`` is a terminal that can move its cursor."""
    # rich believes so, too, if FORCE_COLOR is set; but colours in a file are wanted, and bars drawn
    # over each other are not.
    if file is None or not file.isatty():
        return False
    return os.environ.get("TERM") not in ("dumb", "unknown") and _IN_NOTEBOOK not in os.environ


_SPELLED = {
    "±": "+-",
    "…": "...",
    "·": "-",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "█": "#",
    "▇": "#",
}
_HANDLER = "mnist_studies.spelled"


def prepare() -> None:
    """Replace this process's standard streams as the module says; those set by tests stay."""
    codecs.register_error(_HANDLER, _spell)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            _open_nowhere(number)
        if number == 0 or (stream is not None and not _is_real(stream, number)):
            continue
        setattr(sys, name, _text(number, stream))


def _is_real(stream: TextIO, number: int) -> bool:
    """Return whether ``stream`` is Python's own on that file, and not one that a test put there."""
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == number
    except (OSError, ValueError):
        return False


def _open_nowhere(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def _text(number: int, stream: TextIO | None) -> TextIO:
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Readerless(number)),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=_HANDLER,
        line_buffering=number == 2 or os.isatty(number),
    )


class _Readerless(io.RawIOBase):
    """A file that takes what is written also when its reader is gone."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Return the number of the file."""
        return self._number

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._number)

    def writable(self) -> bool:
        """Return whether it can be written to: it can."""
        return True

    def write(self, data: Any, /) -> int:
        """Write as much of ``data`` as goes at once; return the number of bytes."""
        content = bytes(data)
        try:
            return os.write(self._number, content)
        except OSError as error:
            # What is still buffered is written again at the exit, where an error is a traceback.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._number)
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return len(content)
            raise


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking: Any = error.object[error.start : error.end]
    spelled = (_SPELLED.get(letter) or _code(letter) for letter in lacking)
    return "".join(spelled), error.end


def _code(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()
