"""The dashboard's pages in a real, headless Chromium: what a person sees, while the study runs.

The screenshots stay in pytest's temporary folder.
"""

import contextlib
import socketserver
import threading
from functools import partial
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import matplotlib.image
import optuna
import pytest
from browser import browse, chromium  # noqa: F401 (a fixture)
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import wsgi
from test_dashboard import Confused
from toy_trail import plan_at, run

from studies.analysis import stored_study
from studies.dashboard.application import StudyDashboard
from studies.ledger.opening import open_search
from studies.protocol import phases
from studies.storage.open import close_storage, open_storage

pytestmark = pytest.mark.long  # each starts a browser


class Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(application):
    """Its address, and what was asked for with the answer's status."""
    asked = []

    def listening(environ, start_response):
        def start(status, headers, *rest):
            asked.append((environ["PATH_INFO"], status.split()[0]))
            return start_response(status, headers, *rest)

        return application(environ, start)

    server = make_server("127.0.0.1", 0, listening, server_class=Threads, handler_class=Quiet)
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def look(chromium, tmp_path):  # noqa: F811
    """Opens a page; returns what it holds when it is drawn; its picture is ``<name>.png``."""

    def opened(address, name, height=1500):
        picture = tmp_path / f"{name}.png"
        options = ("--virtual-time-budget=15000", f"--screenshot={picture}", "--dump-dom")
        page, _ = browse(
            chromium, address, tmp_path / "profile", *options, width=1400, height=height
        )
        drawn = matplotlib.image.imread(picture)
        assert drawn.shape[:2] == (height, 1400) and drawn.std() > 0.05  # no blank page
        return page

    return opened


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    plan = plan_at(tmp_path_factory.mktemp("pages"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})
        run(plan, Confused(failing=("adagrad",)))
    return plan


@pytest.fixture(scope="module")
def site(plan):
    storage = open_storage(plan.storage_url, create=False)
    artifacts = FileSystemArtifactStore(plan.folder)
    with served(
        StudyDashboard(
            wsgi(storage, artifact_store=artifacts), partial(stored_study.read, plan), storage
        )
    ) as site:
        yield site
    close_storage(storage)


def test_a_trial_with_its_note_and_pictures(site, look):
    address, asked = site
    page = look(f"{address}/dashboard/studies/1/trials?numbers=0", "trial")
    for number in range(9):  # the list of trials
        assert f">Trial {number}<" in page
    # The note, drawn from Markdown.
    assert "that ran to their end." in page and "</strong>" in page and "**" not in page
    kinds = ("curve", "confusion", "mistakes", "roc")
    assert all(f"{kind}_0.png" in page for kind in kinds)
    pictures = [(path, status) for path, status in asked if path.startswith("/artifacts/1/1/")]
    assert {status for _, status in pictures} == {"200"} and len(set(pictures)) == 4
    assert "val_loss" in page and "&quot;val_loss" not in page  # attributes without JSON's marks


def test_a_study_with_its_figures(site, look):
    address, _ = site
    page = look(f"{address}/dashboard/studies/1", "study", height=2400)
    assert page.count("main-svg") > 6
    for title in ("Trials by choice", "Curves by choice", "Confirmed on fresh seeds"):
        assert title in page


def test_a_study_that_runs(site, plan, look):
    """Seen in its note; the page is read from the database that the supervisor writes."""
    address, _ = site
    storage = open_storage(plan.storage_url, create=False)
    try:
        with open_search(plan, storage):
            page = look(f"{address}/dashboard/studies/1/note", "note")
    finally:
        close_storage(storage)
    assert "Which toy is best?" in page and "<table>" in page
    assert "run by process" in page
