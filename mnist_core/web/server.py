"""A server of the standard library for one person's pages, until Ctrl-C or SIGTERM."""

import os
import signal
import socketserver
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from mnist_core.errors import UserError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_MORE_PORTS = 20  # that are tried after one that is taken


class ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    """Answers several requests of a page at a time."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Does not log every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def listen(
    application: "WSGIApplication", host: str, port: int, *, by: str, next_free: bool = False
) -> WSGIServer:
    """Return a server for ``application``; port 0 is any free one.

    Args:
        by: the command, which an error's text starts with.
        next_free: whether one of the next ports is taken where ``port`` is not free.

    Raises:
        UserError: if no port can be had.
    """
    ports = range(port, min(port + 1 + _MORE_PORTS * (next_free and port > 0), 65536))
    error: Exception | None = None
    for one in ports:
        try:
            return make_server(
                host, one, application, server_class=ThreadedServer, handler_class=_Quiet
            )
        except (OSError, OverflowError) as problem:
            error = error or problem
    reason = getattr(error, "strerror", None) or str(error)
    raise UserError(
        f"{by}: cannot listen at {host}:{port}: {reason}; choose another --port (0: any free one)"
    )


def serve(server: WSGIServer, *, by: str) -> None:
    """Answer requests until Ctrl-C or SIGTERM, and say then that ``by`` has ended."""
    # What is open must be closed, also when a service manager ends the process.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(f"{by}: ended")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def has_desktop() -> bool:
    """Return whether a browser opens a window, and does not take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
