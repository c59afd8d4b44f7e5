"""W&B online, the real client, against a stand-in for its server on this machine."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import wandb
from made_log import OVER, begin, track, trial, whole, write
from test_tracker_wandb import KEY, _nobody, history, read, runs  # noqa: F401
from waiting import PATIENCE

from studies.planning.tracking_settings import TrackingSettings
from studies.tracking import wandb_upload
from studies.tracking.process import TrackerProcess

pytestmark = pytest.mark.slow
ONLINE = {"mode": "online"}
PROJECT = {
    **{"id": "p", "name": "mnist-studies", "entity": {"id": "e", "name": "me"}},
    **{"entityName": "me", "createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None},
}
PROJECTS = {
    "edges": [{"node": PROJECT, "cursor": "c"}],
    "pageInfo": {"hasNextPage": False, "endCursor": "c"},
}
VIEWER = {
    **{"id": "v", "username": "me", "entity": "me", "email": "me@here", "admin": False},
    **{"flags": "{}", "teams": {"edges": []}},
}
REPORT = """
import sys
from pathlib import Path
from toy_plans import toy_plan
from studies.cli import options
from studies.cli.wandb_report import wandb_report_command
options.Chosen.find = lambda *_, **__: toy_plan(Path(sys.argv[1]))
wandb_report_command("toy")
"""


def python(code, folder):
    """Run ``code`` on ``folder`` in a process of its own: W&B's client is one for a process."""
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


class Backend(http.server.ThreadingHTTPServer):
    """Takes runs as W&B's server does, as far as its client asks for that; artifacts it refuses.

    ``answers``: what to do instead at a path that begins so: a status and a body, or None for no
    answer until the end of the test; or at the name of a query: the error it gets.
    """

    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers = answers
        self.runs, self.sent, self.keys, self.reports = {}, {}, set(), []
        self.over = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.keys.add(self.headers.get("Authorization"))
        for path, answer in self.server.answers.items():
            if self.path.startswith(path):
                if answer is None:
                    self.server.over.wait()
                    self.close_connection = True
                    return
                self.send(*answer)
                return
        if self.path == "/graphql":
            self.send(200, json.dumps(self.query(json.loads(body))))
        elif self.path.endswith("/file_stream"):
            self.server.sent.setdefault(self.path.split("/")[-2], []).append(json.loads(body))
            self.send(200, '{"limits": {}}')
        else:
            self.send(200, "{}")

    do_POST = do_PUT = do_GET

    def query(self, asked):
        name = re.search(r"(query|mutation)\s+(\w+)", asked["query"])[2]
        values = asked.get("variables") or {}
        if name in self.server.answers:
            return {"data": None, "errors": [{"message": self.server.answers[name]}]}
        if name in ("Viewer", "GetDefaultEntity"):
            return {"data": {"viewer": VIEWER}}
        if name == "GetProjects":
            return {"data": {"models": PROJECTS}}
        if name == "upsertView":
            self.server.reports.append(values)
            view = {name: values[name] for name in ("type", "name", "displayName", "spec")}
            view |= {"description": values["description"], "updatedAt": PROJECT["createdAt"]}
            view |= {"id": "1", "project": {n: PROJECT[n] for n in ("id", "name", "entityName")}}
            return {"data": {"upsertView": {"view": view, "inserted": True}}}
        if name == "RunResumeStatus":
            return {"data": {"model": {**PROJECT, "bucket": None}}}
        if name == "ServerFeaturesQuery":
            return {"data": {"serverInfo": {"features": []}}}
        if name != "UpsertBucket":
            return {"data": None, "errors": [{"message": f"no {name} here"}]}
        run = self.server.runs.setdefault(values["name"] or values["id"], {})
        run |= {key: value for key, value in values.items() if value}
        bucket = {
            **{"id": values["name"], "name": values["name"], "project": PROJECT},
            **{"displayName": run.get("displayName"), "description": None, "sweepName": None},
            **{"config": "{}", "summaryMetrics": "{}", "historyLineCount": 0},
        }
        return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}

    def send(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def backend(request, monkeypatch):
    """The stand-in; somebody is logged in there."""
    with Backend(getattr(request, "param", {})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        wandb.teardown()  # an earlier test may have loaded its settings, which a process does once
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def holds_no_key(folder, said):
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return len(texts) > 2 and not any(KEY.encode() in text for text in [*texts, said.encode()])


def test_runs_are_sent(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, whole())
    said, complete = track("wandb", folder, wandb=ONLINE)
    assert complete
    address = f"http://127.0.0.1:{backend.server_port}/me/mnist-studies/runs/0123abcd-study"
    assert said == [address]
    ids = {f"0123abcd-{phase}-{number}" for phase, number in OVER}
    assert set(backend.runs) == {"0123abcd-study", *ids} == set(backend.sent)
    assert {run["groupName"] for run in backend.runs.values()} == {"made"}
    ends = {"search-0": ("complete", 0), "search-1": ("pruned", 0), "search-2": ("failed", 1)}
    for name, (tag, code) in ends.items():
        run, sent = backend.runs[f"0123abcd-{name}"], backend.sent[f"0123abcd-{name}"]
        assert (run["jobType"], run["tags"]) == ("search", [tag])
        assert sent[-1]["complete"] and sent[-1]["exitcode"] == code
    rows = [
        json.loads(line)
        for part in backend.sent["0123abcd-search-2"]
        for line in part.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
    ]
    assert [row["_step"] for row in rows] == [1, 2]
    assert [row["val_accuracy"] for row in rows] == pytest.approx([0.82, 0.87])
    assert len(backend.keys - {None}) == 1  # the client has it; nothing here kept it
    assert holds_no_key(folder, "".join(said))


def test_offline_runs_are_uploaded_once(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0), *trial(1, "pruned")])
    assert track("wandb", folder)[1] and not backend.runs
    said = []
    wandb_upload.upload(folder / "wandb", said.append)
    assert said == ["runs uploaded: 3"]
    ids = {"0123abcd-study", "0123abcd-search-0", "0123abcd-search-1"}
    assert set(backend.runs) == ids == set(backend.sent)
    assert {run["groupName"] for run in backend.runs.values()} == {"made"}
    assert backend.runs["0123abcd-search-1"]["tags"] == ["pruned"]
    assert all(sent[-1]["complete"] for sent in backend.sent.values())
    wandb_upload.upload(folder / "wandb", said.append)
    assert said[1:] == ["nothing waits to be uploaded"]
    assert holds_no_key(folder, "".join(said))


@pytest.mark.long
def test_a_report_is_saved(backend, tmp_path):
    write(tmp_path, whole())
    done = python(REPORT, tmp_path)
    assert done.returncode == 0, done.stderr[-1500:]
    address = f"http://127.0.0.1:{backend.server_port}/me/mnist-studies"
    assert done.stdout.startswith(f"report: {address}/reports/made--")
    (sent,) = backend.reports
    assert (sent["entityName"], sent["projectName"]) == ("me", "mnist-studies")
    assert f"{address}/runs/0123abcd-study" in sent["spec"] and "adam is best." in sent["spec"]
    assert KEY not in done.stdout + done.stderr


NO_LOGIN = (401, '{"errors": [{"message": "no such key"}]}')


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ({"/graphql": NO_LOGIN}, "no such key"),
        pytest.param({"/graphql": (200, "no JSON")}, "invalid character", marks=pytest.mark.long),
        ({"/graphql": None}, "did not respond in time"),
    ],
    indirect=["backend"],
)
def test_whom_the_server_refuses_works_offline(backend, reason, tmp_path):
    """An expired key, something else that answers there, nothing that answers: one line."""
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0), *trial(1, "pruned")])
    said, complete = track("wandb", folder, wandb=ONLINE)
    assert complete and len(said) == 2
    assert said[0].startswith("W&B refuses, or does not answer: ") and reason in said[0]
    assert said[0].endswith("; runs are kept offline")
    found = runs(folder)
    assert set(found) == {"0123abcd-search-0", "0123abcd-search-1", "0123abcd-study"}
    assert read(found["0123abcd-search-0"])[0]["tags"] == ["complete"]
    assert not list((folder / "wandb").glob("run-*"))
    assert holds_no_key(folder, "".join(said))


@pytest.mark.long
@pytest.mark.parametrize("backend", [{"RunResumeStatus": "no more"}], indirect=True)
def test_after_a_run_that_the_server_refuses_runs_are_kept_offline(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0), *trial(1), *trial(2)])
    said, complete = track("wandb", folder, wandb=ONLINE)
    assert not complete
    assert said[0].startswith("W&B takes no run: ") and "no more" in said[0]
    assert said[0].endswith("; further runs are kept offline")
    assert "failed at search trial 0" in said[1]
    found = {"0123abcd-search-1", "0123abcd-search-2", "0123abcd-study"}
    assert set(runs(folder)) == found
    said, complete = track("wandb", folder)
    assert complete, said
    assert set(runs(folder)) == found | {"0123abcd-search-0"}


@pytest.mark.long
@pytest.mark.parametrize("backend", [{"/files/": None}], indirect=True)
def test_a_server_that_falls_silent_costs_the_seconds_at_the_end_only(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0)])
    settings = TrackingSettings.from_mapping({"wandb": ONLINE}, source="test")
    process = TrackerProcess("wandb", folder, settings, seconds=8.0, sync="SYNC")
    said = process.finish()
    assert not process.complete
    assert said[-1] == "not done within 8 seconds (tracking.finish_seconds)"
    assert holds_no_key(folder, "".join(said))
