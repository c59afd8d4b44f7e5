"""The command lines: every mistake is one line and an exit code, with nothing trained."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import programs
import psutil
import pytest
from in_this_process import ENTRANCES, here  # noqa: F401
from programs import warm_workers  # noqa: F401
from small_data import of_small_data
from waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments, module="studies.run"):
    return [sys.executable, "-m", module, *map(str, arguments)]


def call(*arguments, module="studies.run", **kwargs):
    return subprocess.run(
        command(*arguments, module=module),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        **kwargs,
    )


def tiny(folder, *, trials=4, seeds=2, epochs=1):
    """Options of a study that is over in seconds."""
    return [
        *("optim_search", "--quick", "--set", f"results.folder={folder}"),
        *of_small_data(),
        *("--set", f"search.trials={trials}", "--set", f"confirm.seeds={seeds}"),
        *("--set", "model.name=mlp512" if epochs > 1 else "model.name=lenet5"),
        *("--set", f"epochs={epochs}", "--set", "batch_size=256"),
        # Two threads would wait for each other where others use the cores.
        *("--set", "engine.threads=1"),
    ]


def one_line(done, *parts, code=1):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["optim_serch"], ["'optim_serch'", "'optim_search'"]),
        (["optim_search", "--engine", "locl"], ["'locl'", "'local'"]),
        (["optim_search", "--dataset", "mnst"], ["'mnst'", "'mnist"]),
        (["optim_search", "--set", "epoch=3"], ["epoch", "epochs"]),
        (["optim_search", "--set", "epochs=many"], ["epochs", "many"]),
        (["optim_search", "--set", "epochs"], ["KEY=VALUE"]),
        (["optim_search", "--trials", "0"], ["--trials: "]),
        (["optim_search", "--workers", "999"], ["999"]),
        (["optim_search", "--device", "gpu"], ["gpu", "cuda"]),
        (["optim_search", "--conf", "nowhere.toml"], ["nowhere.toml"]),
        (["optim_search", "--set", "search.pruner=foo"], ["foo", "median"]),
        (["optim_search", "--set", "search.sampler=foo"], ["foo", "tpe"]),
        (["optim_search", "--set", "storage.url=foo"], ["'foo'", "sqlite:///"]),
        (
            ["optim_search", "--set", "storage.url=oracle://a/b"],
            ["oracle://a/b", "postgresql+psycopg://"],
        ),
        (["optim_search", "--save-svg", "/proc/x/y.svg"], ["--save-svg", "/proc/x"]),
        (["optim_search", "--save-svg", "/proc"], ["--save-svg", "/proc"]),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, arguments, parts):
    # One process for each is slow, so the command runs here, through the same entrance.
    done = inside(["studies.run", *arguments, "--set", f"results.folder={tmp_path / 'r'}"])
    one_line(done, *parts)
    assert done.stdout == ""
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("search.pruner=foo", "pruner 'foo'"),
        ("search.sampler=foo", "sampler 'foo'"),
        ("engine.name=foo", "engine 'foo'"),
        ("results.folder=/proc/x", "/proc/x"),
        ("storage.url=foo", "foo"),
    ],
)
def test_show_refuses_what_run_would(setting, part):
    done = inside(["studies", "show", "optim_search", "--set", setting])
    one_line(done, part)
    assert done.stdout == ""


def inside(arguments):
    """Run a module's command line in a forked process: imports are shared, effects are not."""
    import io
    import multiprocessing
    from contextlib import redirect_stderr, redirect_stdout

    import studies.cli.foreground  # noqa: F401  # imported once, before the fork

    def child(connection):
        import runpy

        out, err, code = io.StringIO(), io.StringIO(), 0
        sys.argv = [f"{arguments[0]}/__main__.py", *arguments[1:]]
        with redirect_stdout(out), redirect_stderr(err):
            try:
                sys.modules.pop(arguments[0], None)
                runpy.run_module(arguments[0], run_name="__main__")
            except SystemExit as stop:
                code = stop.code or 0
        connection.send((code, out.getvalue(), err.getvalue()))

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    assert ours.poll(PATIENCE), "the command did not end"
    code, out, err = ours.recv()
    process.join()
    return subprocess.CompletedProcess(arguments, code, out, err)


def test_a_wrong_type_of_option_is_a_usage_error():
    done = inside(["studies.run", "optim_search", "--trials", "many"])
    assert done.returncode == 2 and "--trials" in done.stderr and "Traceback" not in done.stderr


def test_unwritable_results_folder(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = inside(["studies.run", *tiny(tmp_path / "file")])
    one_line(done, "file", "results.folder")


def test_a_database_that_is_none(tmp_path):
    folder = tmp_path / "optim_search-quick"
    folder.mkdir()
    (folder / "study.db").write_text("this is no database at all")
    for module in ("studies.run", "studies"):
        before = ["status"] if module == "studies" else []
        options = [*tiny(tmp_path), "--set", "engine.name=inline"]
        one_line(inside([module, *before, *options]), str(folder / "study.db"))
    assert (folder / "study.db").read_text() == "this is no database at all"


def test_another_programs_database(tmp_path):
    folder = tmp_path / "optim_search-quick"
    folder.mkdir()
    connection = sqlite3.connect(folder / "study.db")
    connection.execute("CREATE TABLE books (title TEXT)")
    connection.close()
    options = [*tiny(tmp_path), "--engine", "inline"]
    one_line(inside(["studies.run", *options]), str(folder / "study.db"), "books")


@pytest.mark.parametrize("name", ["status", "export", "dashboard"])
def test_no_study_yet(tmp_path, name):
    arguments = ["--no-open"] if name == "dashboard" else []
    done = inside(["studies", name, *tiny(tmp_path), *arguments])
    one_line(done, "study.db")
    assert not list(tmp_path.iterdir())


def test_list_and_show():
    assert "optim_search" in inside(["studies", "list"]).stdout
    shown = inside(["studies", "show", "optim_search", "--set", "epochs=3"]).stdout
    assert "scientific" in shown and "nuisance" in shown and "--set" in shown
    assert "mnist-studies" in inside(["studies", "--version"]).stdout


@pytest.mark.parametrize("module", ["studies.run", "studies"])
def test_help_imports_nothing_heavy(module):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    heavy = {'torch', 'optuna', 'scipy', 'ray', 'pandas'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.fixture
def run(warm_workers):  # noqa: F811
    """Starts ``python -m studies.run WORD …``; it does not outlive the test."""
    started = []

    def start(*words):
        started.append(
            programs.start_module("studies.run", ENTRANCES["studies.run"], *words, cwd=ROOT)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def states(folder):
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optim_search-quick/study.db")
    study = optuna.load_study(study_name="optim_search-quick", storage=storage)
    found = [trial.state.name for trial in study.get_trials()]
    storage.remove_session()
    storage.engine.dispose()
    return found


@pytest.mark.slow
def test_ctrl_c_once_finishes_says_how_to_resume_and_loses_nothing(tmp_path, run, here):  # noqa: F811
    process = run(*tiny(tmp_path, trials=4000), "--workers", "2")
    for line in process.stdout:
        if "trial " in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "finishing" in err and "Ctrl-C again to stop now" in err
    assert "nothing is lost. Resume with: python -m studies.run optim_search --quick" in err
    found = states(tmp_path)
    assert 1 <= len(found) < 4000
    assert set(found) <= {"COMPLETE", "PRUNED"}

    total = len(found) + 2
    done = here("studies.run", *tiny(tmp_path, trials=total), "--engine", "inline")
    assert done.returncode == 0, done.stderr
    assert f"Search: {total - len(found)} of {total} trials left" in done.stdout
    assert len(states(tmp_path)) == total
    assert set(states(tmp_path)) <= {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_ctrl_c_twice_stops_now_and_the_trials_run_again(tmp_path, run):
    process = run(*tiny(tmp_path, trials=2, epochs=20_000), "--workers", "2")
    database = tmp_path / "optim_search-quick" / "study.db"
    until(lambda: "RUNNING" in _peek(database), alive=lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again to stop now" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "ending" in err
    assert set(states(tmp_path)) == {"WAITING"}
    assert not _children_of(process.pid)


def test_ctrl_c_at_the_start_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen(
        command(*tiny(tmp_path), "--workers", "2"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = psutil.Process(process.pid).children
    until(lambda: len(children()) >= 2)
    workers = children()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    # Python itself ends by the signal where it came within an `exec` of text, as dataclasses do at
    # their import; a shell says 130 in both cases.
    assert process.returncode in (130, -signal.SIGINT), err
    assert "Traceback" not in err
    assert out == ""
    (line,) = err.splitlines()
    assert line == "interrupted" or "nothing is lost. Resume with: " in line
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]


def test_what_workers_refuse_is_one_line_and_leaves_nothing_behind(tmp_path, warm_workers):  # noqa: F811
    before = psutil.Process().children(recursive=True)
    done = inside(["studies.run", *tiny(tmp_path), "--workers", "2", "--set", "model.name=nett"])
    one_line(done, "'nett'", "'net'")
    assert psutil.Process().children(recursive=True) == before
    assert not list(tmp_path.iterdir())


def _peek(database):
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("SELECT state FROM trials")]
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def _children_of(pid):
    return [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == pid]


def test_dashboard_port_in_use_is_one_line(tmp_path):
    from studies.storage.open import close_storage, open_storage

    url = f"sqlite:///{tmp_path}/optim_search-quick/study.db"
    close_storage(open_storage(url, create=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = inside(["studies", "dashboard", *tiny(tmp_path), "--no-open", "--port", str(port)])
    one_line(done, str(port), "--port")


def test_dashboard_answers_and_ends_cleanly(tmp_path):
    import json
    import urllib.request

    from studies.storage.open import close_storage, open_storage

    storage = open_storage(f"sqlite:///{tmp_path}/optim_search-quick/study.db", create=True)
    optuna.create_study(study_name="optim_search-quick", storage=storage)
    close_storage(storage)
    process = subprocess.Popen(
        command("dashboard", *tiny(tmp_path), "--no-open", "--port", "0", module="studies"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_PROXY": "*", "no_proxy": "*"},
    )
    address = process.stdout.readline().split()[1]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}api/studies", timeout=PATIENCE) as answer:
        names = [study["study_name"] for study in json.load(answer)["study_summaries"]]
    assert names == ["optim_search-quick"]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "") and "ended" in out
