"""Optuna's dashboard on a study's database, served by this process."""

import os
import signal
import socketserver
import sys
import webbrowser
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna

from mnist_core.errors import UserError
from studies.storages.storage import close_storage, open_storage, shown


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers several requests of a page at a time."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Does not log every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve(url: str, *, host: str, port: int, open_browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        url: the storage.
        host: the address to listen at.
        port: 0 for any free one.
        open_browser: whether to open the page, where there is a desktop.

    Raises:
        UserError: there is no such database, or the port cannot be had.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url, create=False)
    try:
        from optuna_dashboard import wsgi  # type: ignore[import-untyped]

        application = wsgi(storage)
        try:
            server = make_server(
                host, port, application, server_class=_Server, handler_class=_Quiet
            )
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"dashboard: cannot listen at {host}:{port}: {reason}; choose another --port"
                " (0: any free one)"
            ) from None
        with server:
            address = f"http://{host}:{server.server_port}/"
            print(f"dashboard: {address} on {shown(url)} (Ctrl-C ends it)", flush=True)
            if open_browser and _has_desktop():
                webbrowser.open(address)
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("dashboard: ended")
    finally:
        close_storage(storage)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _has_desktop() -> bool:
    """Whether a browser would open a window, not take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
