"""Optuna's dashboard on a study's database, served by this process."""

import contextlib
import functools
import webbrowser
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore

from mnist_core.web import server
from studies.analysis import stored_study
from studies.planning.plan import Plan
from studies.storage.open import close_storage, open_storage, shown


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
        with server.listen(application, host, port, by="dashboard") as listening:
            address = f"http://{host}:{listening.server_port}/"
            print(f"dashboard: {address} on {shown(plan.storage_url)} (Ctrl-C ends it)", flush=True)
            if open_browser and server.has_desktop():
                webbrowser.open(address)
            server.serve(listening, by="dashboard")
    finally:
        close_storage(storage)


def _artifacts(folder: Path) -> FileSystemArtifactStore:
    with contextlib.suppress(OSError):  # in a read-only folder nothing can be added
        folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)
