"""W&B online, the real client, against a stand-in for its server on this machine."""

import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from made_log import OVER, begin, track, trial, whole, write
from test_tracker_wandb import KEY, _nobody, history, read, runs  # noqa: F401
from waiting import PATIENCE

from studies.trackers.process import TrackerProcess
from studies.trackers.settings import TrackingSettings

ONLINE = {"mode": "online"}
PROJECT = {"id": "p", "name": "mnist-studies", "entity": {"id": "e", "name": "me"}}
VIEWER = {
    **{"id": "v", "username": "me", "entity": "me", "email": "me@here", "admin": False},
    **{"flags": "{}", "teams": {"edges": []}},
}
QUICK = """
import sys
from pathlib import Path
from studies.trackers import __main__, _wandb_runs
from studies.trackers.settings import TrackingSettings
_wandb_runs.INIT_SECONDS = 2.0
settings = TrackingSettings.from_mapping({"wandb": {"mode": "online"}}, source="test")
sys.exit(__main__.main("wandb", Path(sys.argv[1]), settings, seconds=60, sync="SYNC"))
"""


class Backend(http.server.ThreadingHTTPServer):
    """Takes runs as W&B's server does, as far as its client asks for that; artifacts it refuses.

    ``answers``: what to do instead at a path that begins so: a status and a body, or None for no
    answer until the end of the test.
    """

    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers = answers
        self.runs, self.sent, self.keys = {}, {}, set()
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
        if name == "Viewer":
            return {"data": {"viewer": VIEWER}}
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


REFUSALS = [(401, '{"errors": [{"message": "no such key"}]}'), (200, "no JSON")]


@pytest.mark.parametrize("backend", [{"/graphql": answer} for answer in REFUSALS], indirect=True)
def test_what_the_server_refuses_is_kept_offline(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0), *trial(1, "pruned")])
    said, complete = track("wandb", folder, wandb=ONLINE)
    assert complete and len(said) == 2
    assert said[0].startswith("W&B takes no run: Failed to get resume status")
    assert said[0].endswith("; runs are kept offline")
    found = runs(folder)
    assert set(found) == {"0123abcd-search-0", "0123abcd-search-1", "0123abcd-study"}
    summary, records = read(found["0123abcd-search-0"])
    assert summary["tags"] == ["complete"]
    assert len([row for row in history(records) if "val_loss" in row]) == 3
    assert not list((folder / "wandb").glob("run-*"))
    assert holds_no_key(folder, "".join(said))


@pytest.mark.parametrize("backend", [{"/graphql": None}], indirect=True)
def test_a_server_that_does_not_answer_is_waited_for_once(backend, tmp_path):
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0), *trial(1)])
    done = subprocess.run(
        [sys.executable, "-c", QUICK, str(folder)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0 and len(said) == 2, done
    assert "W&B takes no run" in said[0] and "kept offline" in said[0]
    assert set(runs(folder)) == {"0123abcd-search-0", "0123abcd-search-1", "0123abcd-study"}


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
