"""``studies.run`` with a ``StudySpec`` and two workers: in a script, ``-c``, stdin, a notebook."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SHOWN = ("stream", "display_data", "update_display_data", "execute_result")
OBJECTIVE = """
import time
from pathlib import Path


def objective(params, *, seed, report):
    for step in (1, 2):
        report(step, {"score": params["x"] * step})
    Path(f"ran_{seed}").touch()
    while Path("wait").exists():
        time.sleep(0.05)
    return {"score": params["x"] * 2}
"""
RUN = """
import studies
from my_objective import objective
from search_spaces.space import Float, Space
from studies.spec import StudySpec

SPACE = Space({"x": Float(0, 1)})
SPEC = StudySpec(
    name="mine", goal="Which x?", space=SPACE, objective=objective, metric="score", trials=6
)
result = studies.run(SPEC, set={"engine.workers": 2, "tracking.trackers": []})
print("RAN", result.phase, len(result.trials), result.config)
"""
WITHOUT_A_FILE = RUN.replace(
    "from my_objective import objective",
    "def objective(params):\n    return params['x']\n",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_objective.py").write_text(OBJECTIVE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def words(where, code, folder):
    if where == "script":
        (folder / "script.py").write_text(code)
        return [sys.executable, "script.py"]
    return [sys.executable, *(["-c", code] if where == "-c" else ["-"])]


def run(where, code, folder):
    return subprocess.run(
        words(where, code, folder), cwd=folder, input=code, capture_output=True, text=True
    )


@pytest.mark.long
@pytest.mark.parametrize("where", ["script", "-c", "stdin"])
def test_two_workers(where, folder):
    done = run(where, RUN, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("RAN finished 6")


@pytest.mark.long
@pytest.mark.parametrize("where", ["script", "-c", "stdin"])
def test_an_objective_that_workers_cannot_find_is_one_line(where, folder):
    done = run(where, WITHOUT_A_FILE, folder)
    last = done.stderr.splitlines()[-1]
    assert done.returncode and "ConfigError: " in last and "engine.name=inline" in last
    inline = WITHOUT_A_FILE.replace('"engine.workers": 2', '"engine.name": "inline"')
    done = run(where, inline, folder)
    if where == "script":
        assert done.stdout.splitlines()[-1].startswith("RAN finished 6")
    else:  # nothing has its code, which is part of the study's fingerprint
        last = done.stderr.splitlines()[-1]
        assert done.returncode and "ConfigError: " in last and "put it into a file" in last


def interrupted(process, folder):
    """Press Ctrl-C when two trials run; then let them finish."""
    wait_for(lambda: len(list(folder.glob("ran_*"))) == 2, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    (folder / "wait").unlink()


def wait_for(condition, process=None):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.long
def test_ctrl_c_leaves_a_study_that_the_script_resumes(folder):
    (folder / "wait").touch()
    process = subprocess.Popen(
        words("script", RUN, folder),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    interrupted(process, folder)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode and "KeyboardInterrupt" in said
    assert len(list(folder.glob("ran_*"))) == 2
    done = run("script", RUN, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("RAN finished 6")


@pytest.mark.long
def test_in_a_notebook_with_an_interrupt(folder):
    manager, client = start_new_kernel(cwd=str(folder), startup_timeout=PATIENCE)
    (folder / "wait").touch()
    try:
        cell = client.execute(RUN)
        wait_for(lambda: len(list(folder.glob("ran_*"))) == 2)
        manager.interrupt_kernel()
        time.sleep(0.3)
        (folder / "wait").unlink()
        first, outputs = finished(client, cell)
        assert (first["status"], first["ename"]) == ("error", "KeyboardInterrupt")
        assert "finishing 2 running trials" in texts(outputs)
        second, outputs = finished(client, client.execute(RUN + "result"))
        assert second["status"] == "ok", second
        assert "TqdmWarning" not in texts(outputs)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    pages = [one["data"]["text/html"] for one in outputs if "text/html" in one.get("data", {})]
    assert any("<table>" in page for page in pages)  # of the result
    assert any("<pre>" in page for page in pages)  # of the view while it ran
    assert "RAN finished 6" in texts(outputs)


@pytest.mark.long
@pytest.mark.parametrize("use", ["studies.load('none')", "studies.run('none')"])
def test_a_notebook_without_widgets_shows_no_warning(folder, use):
    """Optuna imports tqdm, which warns there that ipywidgets is not installed."""
    code = f"""
import sys, types
import mnist_core.errors, studies
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: None)
sys.modules["ipykernel.zmqshell"] = types.ModuleType("of a kernel")
sys.modules["ipywidgets"] = None
try:
    {use}
except mnist_core.errors.UserError:
    pass
assert "optuna" in sys.modules
"""
    done = run("-c", code, folder)
    assert (done.returncode, done.stderr) == (0, "")


def texts(outputs):
    return "".join(one.get("text", "") for one in outputs)


def finished(client, cell):
    """Return the answer to ``cell``, the id of its request, and its outputs."""
    outputs = []
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        content = message["content"]
        if message["parent_header"].get("msg_id") != cell:
            continue
        if content.get("execution_state") == "idle":
            break
        if message["msg_type"] in SHOWN:
            outputs.append(content)
    while True:
        message = client.get_shell_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == cell:
            return message["content"], outputs
