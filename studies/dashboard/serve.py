"""Optuna's dashboard on a study's database, served by this process."""

import contextlib
import functools
import os
import signal
import socketserver
import sys
import webbrowser
from pathlib import Path
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.artifacts import FileSystemArtifactStore

from mnist_core.errors import UserError
from studies.analysis import stored_study
from studies.planning.plan import Plan
from studies.storage.open import close_storage, open_storage, shown


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers several requests of a page at a time."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Does not log every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve(plan: Plan, *, host: str, port: int, open_browser: bool) -> None:
    """Serve all studies of the storage of ``plan`` until Ctrl-C or SIGTERM; port 0: any free one.

    Raises:
        UserError: if there is no such database, or the port is not free.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(plan.storage_url, create=False)
    try:
        from optuna_dashboard import wsgi  # type: ignore[import-untyped]

        from studies.dashboard.application import StudyDashboard
        from studies.dashboard.guard import Guard

        dashboard = wsgi(storage, artifact_store=_artifacts(plan.folder / "artifacts"))
        read = functools.partial(stored_study.read, plan)
        application = Guard(StudyDashboard(dashboard, read, storage), host=host)
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
            print(f"dashboard: {address} on {shown(plan.storage_url)} (Ctrl-C ends it)", flush=True)
            if open_browser and _has_desktop():
                webbrowser.open(address)
            # The storage must be closed, also when a service manager ends the process.
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("dashboard: ended")
    finally:
        close_storage(storage)


def _artifacts(folder: Path) -> FileSystemArtifactStore:
    with contextlib.suppress(OSError):  # in a read-only folder nothing can be added
        folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _has_desktop() -> bool:
    """Whether a browser opens a window, and does not take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
