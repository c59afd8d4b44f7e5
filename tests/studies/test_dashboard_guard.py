"""Who may ask the dashboard's server what, asked of its WSGI application."""

import io
import json
from functools import partial
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna_dashboard import wsgi
from toy import make_plan

from studies.analysis import stored_study
from studies.dashboard.application import StudyDashboard
from studies.dashboard.guard import Guard
from studies.storage.open import close_storage, open_storage

PAGE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """The dashboard of a study of another program, and the paths of two files beside a trial."""
    folder = tmp_path_factory.mktemp("guarded")
    plan = make_plan(folder)
    plan.folder.mkdir()
    storage = open_storage(plan.storage_url, create=True)
    study = optuna.create_study(study_name="plain", storage=storage)
    trial = study.ask()
    store = FileSystemArtifactStore(folder)
    paths = []
    for name in ("evil.html", "note.txt"):
        (folder / name).write_text(PAGE)
        file = upload_artifact(
            artifact_store=store,
            file_path=str(folder / name),
            study_or_trial=trial,
        )
        paths.append(f"/artifacts/0/{trial._trial_id}/{file}")
    study.tell(trial, 1.0)
    yield (
        StudyDashboard(
            wsgi(storage, artifact_store=store), partial(stored_study.read, plan), storage
        ),
        paths,
        study._study_id,
    )
    close_storage(storage)


def ask(application, path, method="GET", content=None, *, host="127.0.0.1:8080", **headers):
    """One request; status, headers (in small letters) and body."""
    body = json.dumps(content).encode() if content is not None else b""
    environ = {
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_HOST": host,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    setup_testing_defaults(environ)
    said = []
    parts = application(environ, lambda *told: said.append(told))
    answer = b"".join(parts)
    getattr(parts, "close", lambda: None)()
    status, sent = said[0][:2]
    return int(status.split()[0]), {name.lower(): value for name, value in sent}, answer


@pytest.mark.parametrize(
    ("listens", "host", "known"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost:8080", True),
        ("127.0.0.1", "localhost:9000", True),  # through a tunnel
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "evil.example:8080", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example:8080", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[", False),
        ("gpu-box", "gpu-box:8080", True),
        ("gpu-box", "GPU-Box:8080", True),
        ("0.0.0.0", "10.0.0.7:8080", True),
        ("0.0.0.0", "evil.example:8080", False),
    ],
)
def test_only_the_servers_own_addresses_are_answered(dashboard, listens, host, known):
    status, _, body = ask(Guard(dashboard[0], host=listens), "/api/studies", host=host)
    assert status == (200 if known else 403)
    if not known:
        assert len(json.loads(body)["reason"].splitlines()) == 1


@pytest.mark.parametrize("path", ["/api/studies", "/dashboard", "file", "detail", "/nowhere"])
def test_head_is_get_without_a_body(dashboard, path):
    inspection, files, study = dashboard
    path = {"file": files[0], "detail": f"/api/studies/{study}"}.get(path, path)
    guard = Guard(inspection, host="127.0.0.1")
    (got, told, body), head = ask(guard, path), ask(guard, path, "HEAD")
    assert head[0] == got and head[2] == b"" != body
    assert head[1].get("content-type") == told.get("content-type")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:9"])
def test_nothing_is_written_for_another_site(dashboard, method, origin):
    inspection, _, study = dashboard
    guard = Guard(inspection, host="127.0.0.1")
    headers = {} if origin is None else {"origin": origin}
    path = f"/api/studies/{study}/note"
    status, _, body = ask(guard, path, method, {"body": "x", "version": 1}, **headers)
    assert status == 403 and "own page" in json.loads(body)["reason"]


def test_a_note_of_the_page_itself_is_kept(dashboard):
    inspection, _, study = dashboard
    guard = Guard(inspection, host="127.0.0.1")
    path, note = f"/api/studies/{study}/note", {"body": "seen", "version": 1}
    assert ask(guard, path, "PUT", note, origin="http://127.0.0.1:8080")[0] == 204
    found = json.loads(ask(guard, f"/api/studies/{study}")[2])
    assert found["note"]["body"] == "seen"


def test_files_are_no_pages_of_this_server(dashboard):
    inspection, files, _ = dashboard
    guard = Guard(inspection, host="127.0.0.1")
    kinds = []
    for path in files:
        status, headers, body = ask(guard, path)
        assert status == 200 and body.decode() == PAGE
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-disposition"].startswith("attachment")
        assert headers["content-security-policy"] == "sandbox"
        assert "access-control-allow-origin" not in headers
        kinds.append(headers["content-type"])
    assert kinds == ["application/octet-stream", "text/plain"]
