"""Studies across hosts that share no network card, no name, no /tmp and no process with another.

The hosts are Linux namespaces (``benchmarks/crowd``). Here an own study lies on one of them only.
"""

import sys
import tempfile
import time
from pathlib import Path

import optuna
import postgres as servers
import pytest
from needs import missing
from test_faults import BENCHMARKS

pytestmark = pytest.mark.long

STUDY = '''"""Trials that sleep, and say on which host."""

import socket
import time
from pathlib import Path

from search_spaces.space import Choice, Float, Space
from studies.spec import StudySpec


def objective(params, *, seed, report):
    with Path("/tmp/begun").open("a") as begun:  # each host has its own /tmp
        print(seed, file=begun)
    for step in range(1, 4):
        time.sleep(0.2)
        report(step, {"score": params["x"] * step, "host": int(socket.gethostname()[-1])})
    return {"score": params["x"] * 3, "host": int(socket.gethostname()[-1])}


STUDY = StudySpec(
    name="crowd",
    goal="Which kind?",
    space=Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0)}),
    scientific="kind",
    objective=objective,
    metric="score",
    trials=16,
)
'''


@pytest.fixture
def crowd(monkeypatch):
    """The modules that make hosts, and run programs there."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from crowd import hosts, on_hosts

    if reason := hosts.why_not():
        missing(reason)
    return hosts, on_hosts


@pytest.fixture
def folder():
    """Not below /tmp, in whose place each host has its own."""
    with tempfile.TemporaryDirectory(prefix="hosts-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        yield Path(name)


def begin(programs, host, line):
    """Start the study that lies in a host's own /tmp."""
    (host.folder / "tmp" / "crowd.py").write_text(STUDY)
    line = f"cd /tmp && exec {sys.executable} -m studies run ./crowd.py {line} --plain"
    return programs.start(host, "study", ["sh", "-c", f"{line} --track none"])


def wait_for_trial(host, count):
    """Wait until a host has begun ``count`` trials."""
    begun, end = host.folder / "tmp" / "begun", time.monotonic() + 120
    while not begun.exists() or len(begun.read_text().splitlines()) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_own_study_runs_on_a_ray_node_that_does_not_have_it(crowd, folder):
    hosts, on_hosts = crowd
    programs = on_hosts.Programs(folder)
    with (
        hosts.hosts(2, folder) as (here, there),
        on_hosts.ray_cluster(programs, [here, there], 1) as address,
    ):
        apart = begin(programs, here, f"--ray-address {address}")
        assert apart.wait() == 1  # the nodes do not share its folder of results
        said = programs.output(here, "study")
        assert f"/tmp/results/crowd is not the same folder on {there.address}" in said
        results = folder / "results"
        run = begin(programs, here, f"--ray-address {address} --set results.folder={results}")
        assert run.wait() == 0, programs.output(here, "study")
    storage = f"sqlite:///{results / 'crowd' / 'study.db'}"
    trials = optuna.load_study(study_name="crowd", storage=storage).trials
    assert len(trials) == 16
    assert {trial.user_attrs["metrics"]["host"] for trial in trials} == {1, 2}
    assert (results / "crowd" / "best_config.toml").exists()


def test_a_supervisor_that_loses_its_network_loses_no_trial(crowd, folder):
    if reason := servers.missing():
        missing(reason)
    hosts, on_hosts = crowd
    programs = on_hosts.Programs(folder)
    with (
        hosts.hosts(3, folder) as (database, stays, goes),
        on_hosts.postgres(programs, database) as url,
    ):
        options = f"--join --workers 1 --set storage.url={url}"
        runs = [begin(programs, host, options) for host in (stays, goes)]
        wait_for_trial(goes, 2)
        goes.unplug()  # in the middle of its second trial
        assert runs[0].wait() == 0, programs.output(stays, "study")
        goes.unplug(again=True)
        assert runs[1].wait() == 0, programs.output(goes, "study")
        command = [sys.executable, BENCHMARKS / "ours" / "study_states.py", url, "crowd"]
        found = programs.result(database, "states", command)
    states = found["states"]
    assert states.get("COMPLETE", 0) + states.get("PRUNED", 0) == 16 and found["numbers"]
    assert "SupervisorDied" in programs.output(stays, "study")
    assert (stays.folder / "tmp" / "results" / "crowd" / "best_config.toml").exists()
