"""W&B, the real one, offline: what was written is read back with its own inspector."""

import json
import subprocess
from pathlib import Path

import made_log
import numpy as np
import psutil
import pytest
import wandb
from made_log import CAPTIONS, IMAGES, OVER, begin, track, trial, whole, write
from PIL import Image
from waiting import PATIENCE, until

from mnist_core.errors import UserError
from mnist_core.tracking import wandb_account
from mnist_core.tracking.wandb_account import logged_in
from mnist_core.tracking.wandb_runs import nested
from studies.tracking import wandb_upload

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _nobody(tmp_path, monkeypatch):
    """Nobody is logged in, and the server is one that cannot be reached."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def runs(folder):
    """The folders of all runs by id."""
    found = [
        (path.name.split("-", 3)[3], path) for path in (folder / "wandb").glob("offline-run-*")
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def read(run):
    """Summary and records of a run, as ``wandb leet inspect`` reads them."""
    # The program behind the command, without half a second of imports each time.
    core = Path(wandb.__file__).parent / "bin" / "wandb-core"
    (file,) = run.glob("*.wandb")
    command = [str(core), "leet", "inspect", "--json", "--run-file", str(file)]
    records = [json.loads(line) for line in _output(command).splitlines()]
    return json.loads(_output([*command, "--summary"])), records


def _output(command):
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout


def left_running(before, folder):
    """Names of new processes that have the environment of this test."""
    return [
        process.info["name"]
        for process in psutil.process_iter(["name", "environ"])
        if process.pid not in before
        and str(folder) in (process.info["environ"] or {}).get("NETRC", "")
    ]


def history(records):
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def test_a_study_comes_back_from_offline_runs(tmp_path):
    write(tmp_path, whole())
    before = {process.pid for process in psutil.process_iter()}
    said, complete = track("wandb", tmp_path)
    assert complete
    until(lambda: not left_running(before, tmp_path))
    (line,) = said
    assert "nothing is uploaded" in line and str(tmp_path / "wandb") in line and "SYNC" in line
    found = runs(tmp_path)
    assert set(found) == {"0123abcd-study", *(f"0123abcd-{p}-{n}" for p, n in OVER)}

    summary, records = read(found["0123abcd-search-0"])
    run = [record["run"] for record in records if record["type"] == "run"][-1]
    assert (run["run_group"], run["job_type"], run["display_name"]) == (
        "made",
        "search",
        "search 0 adam",
    )
    assert summary["project"] == "mnist-studies" and summary["tags"] == ["complete"]
    config = summary["config"]
    assert (
        config["optim"] == {"name": "adam", "lr": 0.01}
        and config["epochs"] == 3
        and config["seed"] == str(2**60)
    )
    rows = [row for row in history(records) if "val_loss" in row]
    assert [row["_step"] for row in rows] == [1, 2, 3]
    assert [row["seconds"] for row in rows] == pytest.approx([1, 2, 3])
    assert [row["val_accuracy"] for row in rows] == pytest.approx([0.8, 0.85, 0.9 - 0.1 / 3])
    assert rows[0]["_timestamp"] == pytest.approx(made_log.BEGAN + 1)
    assert summary["summary"]["state"] == "complete"
    assert summary["summary"]["confusion_table"]["nrows"] == 4

    for name, points in (("roc", 3), ("precision_recall", 2)):
        assert summary["summary"][f"{name}_table"]["nrows"] == points
    mistakes = summary["summary"]["mistakes"]
    assert mistakes["captions"] == CAPTIONS
    single, pair = (
        np.array(Image.open(found["0123abcd-search-0"] / "files" / name))
        for name in mistakes["filenames"]
    )
    assert np.array_equal(255 - single, IMAGES.images[5])
    assert np.array_equal(255 - pair[:, :28], IMAGES.images[2])
    assert np.array_equal(255 - pair[:, -28:], IMAGES.images[4])

    pruned, _ = read(found["0123abcd-search-1"])
    assert "mistakes" not in pruned["summary"] and "roc_table" not in pruned["summary"]
    assert (pruned["state"], pruned["exit_code"], pruned["tags"]) == ("finished", 0, ["pruned"])
    failed, _ = read(found["0123abcd-search-2"])
    assert (failed["exit_code"], failed["tags"]) == (1, ["failed"])
    assert failed["summary"]["failure"] == "OutOfMemory: too big"
    tested, _ = read(found["0123abcd-test-0"])
    assert tested["summary"]["test_accuracy"] == 0.5
    assert tested["name"] == "test adam seed 1"

    study, records = read(found["0123abcd-study"])
    assert study["name"] == "made" and study["summary"]["verdict"] == "adam is best."
    assert study["summary"]["trials"]["nrows"] == 6
    assert study["summary"]["best.mean"] == 0.93
    best = [row["best_val_accuracy"] for row in history(records) if "trial" in row]
    assert len(best) == 4 and best[-1] == pytest.approx(0.93 - 0.1 / 3)
    artifacts = [r["artifact"]["type"] for r in records if r["type"] == "artifact"]
    assert "config" in artifacts


def test_its_service_is_its_own(tmp_path, monkeypatch):
    """That of a notebook, say, knows runs of its own, or has ended."""
    monkeypatch.setenv("WANDB_SERVICE", "3-1-unix-/nowhere")
    write(tmp_path, whole())
    said, complete = track("wandb", tmp_path)
    assert complete, said


def test_one_run_a_study(tmp_path):
    write(tmp_path, whole())
    assert track("wandb", tmp_path, mode="study")[1]
    assert set(runs(tmp_path)) == {"0123abcd-study"}


def test_nothing_is_written_twice_and_what_was_missing_is_added(tmp_path):
    write(tmp_path, [*begin(), *trial(0), *list(trial(1))[:2]])
    assert track("wandb", tmp_path)[1]
    before = {run.name for run in (tmp_path / "wandb").glob("offline-run-*-search-*")}
    assert len(before) == 2
    write(tmp_path, list(trial(1)))
    assert track("wandb", tmp_path)[1]
    found = runs(tmp_path)
    assert set(found) == {"0123abcd-search-0", "0123abcd-search-1", "0123abcd-study"}
    study, _ = read(found["0123abcd-study"])
    assert study["summary"]["trials"]["nrows"] == 2
    _, records = read(found["0123abcd-search-1"])
    assert [row["_step"] for row in history(records) if "val_loss" in row] == [1, 2, 3]
    assert track("wandb", tmp_path) == (["nothing is missing"], True)


def test_online_without_network_is_offline_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    folder = tmp_path / "study"
    write(folder, [*begin(), *trial(0)])
    said, complete = track("wandb", folder, wandb={"mode": "online"})
    assert complete
    assert said[0] == "no network: http://127.0.0.1:9 cannot be reached; runs are kept offline"
    assert "0123abcd-search-0" in runs(folder)
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(texts) > 5 and not any(KEY.encode() in text for text in texts)


def test_who_is_logged_in(tmp_path, monkeypatch):
    assert not logged_in("http://127.0.0.1:9")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1\n  login user\n  password {KEY}\n")
    assert logged_in("http://127.0.0.1:9") and not logged_in("https://api.example.org")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert logged_in("https://api.example.org")


def test_upload_needs_a_login_and_says_so(tmp_path, monkeypatch):
    said = []
    wandb_upload.upload(tmp_path, said.append)
    assert said == ["nothing waits to be uploaded"]
    for name, files in {"a": ["run-a.wandb"], "b": ["run-b.wandb", "run-b.wandb.synced"]}.items():
        (tmp_path / f"offline-run-1-{name}").mkdir()
        for file in files:
            (tmp_path / f"offline-run-1-{name}" / file).touch()
    monkeypatch.setattr(wandb_account, "server", lambda: "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"wandb login.*: 1$"):
        wandb_upload.upload(tmp_path, said.append)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(UserError, match="no network: "):
        wandb_upload.upload(tmp_path, said.append)


def test_config_is_nested_as_wandb_wants_it():
    config = {"optim.lr": 0.1, "optim.name": "adam", "l2": 0, "l2.kind": "x", "a.b.c": 1}
    assert nested(config) == {
        "optim": {"lr": 0.1, "name": "adam"},
        "l2": 0,
        "l2.kind": "x",
        "a": {"b": {"c": 1}},
    }
