"""``benchmarks/gpu.py``: its time limits, tables and verdicts, and the reduced form on a CPU."""

import contextlib
import importlib
import json
import subprocess
import sys

import psutil
import pytest
from test_faults import BENCHMARKS

ROWS = [
    {
        "model": "net",
        "precision": "bf16",
        "graph": False,
        "work": {"operations": 50, "kernels": 60, "bytes": 8_000_000, "flops": 8e8},
    },
    {"model": "net", "precision": "bf16", "graph": False, "images": 64, "step": 6e-4}
    | {"host": 6e-4, "epochs": 9, "first": 1.0, "loss": 0.5},
    {"model": "net", "precision": "bf16", "graph": True, "images": 64, "step": 2e-4}
    | {"host": 1e-4, "epochs": 9, "first": 1.0, "loss": 0.505},
    {"model": "net", "precision": "fp16", "graph": True, "refused": "cuda_graph: no"},
    {"model": "cnn", "precision": "bf16", "graph": True, "failed": "CUDA error"},
]
FLOORS = {
    "launch": {"eager": 5e-6, "graph": 2e-6},
    "bandwidth": 4e12,
    "peak": {"bf16": 8e14, "fp16": 8e14},
}


def load(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module(name)


def test_steps_are_set_against_the_highest_floor():
    found = load("on_gpu.tables").trainer(FLOORS, ROWS)
    assert found.figures == pytest.approx({"net.graph": 3.0, "net.floor": 2e-4 / 1.2e-4, "loss": 1})
    by_form = [line for line in found.text.splitlines() if line.startswith("| net")]
    assert "320,000" in by_form[1] and "refused" in by_form[2]
    assert "FAILED" in found.text


def test_a_stopped_trainer_has_the_table_of_what_was_measured():
    found = load("on_gpu.tables").trainer(FLOORS, ROWS[:2])
    assert found.figures == {}
    assert "106,667" in found.text


def test_the_faster_form_counts_for_the_time_to_an_accuracy():
    rows = [
        {"graph": graph, "precision": "bf16", "data": "mnist", "images": 100}
        | {"train_seconds": seconds, "accuracy": 0.99}
        for graph in (False, True)
        for seconds in (3.0 - graph, 4.0 - graph, 9.0 - graph)
    ]
    tables = load("on_gpu.tables")
    assert tables.accuracy(rows).figures == pytest.approx({"accuracy": 99.0, "seconds": 3.0})
    assert tables.accuracy([{**row, "data": "mnist-10pct"} for row in rows]).figures == {}
    assert tables.accuracy([]).figures == {}


def trial(pid, begin, end):
    return {"pid": pid, "begin": begin, "end": end, "state": "COMPLETE"}


def test_trials_an_hour_are_those_of_the_time_in_which_all_workers_work():
    late = {"trials": [trial(1, 0.0, 2.0), trial(1, 2.0, 4.0), trial(2, 3.0, 5.0)]}
    found = load("on_gpu.tables").steady(late)
    assert found == {"workers": 2, "seconds": 1.0, "rate": 3600 * (0.5 + 0.5)}


def test_workers_are_compared_with_one():
    alone = {"trials": [trial(1, 0.0, 2.0), trial(1, 2.0, 4.0)]}
    both = {"trials": [trial(1, 0.0, 2.0), trial(2, 0.0, 2.0)]}
    made = {"seconds": 9.0, "trouble": ""}
    runs = [{**alone, **made, "workers": 1}, {**both, **made, "workers": 2}]
    runs.append({"workers": 4, "seconds": 9.0, "trouble": "stopped after its 9 s"})
    tables = load("on_gpu.tables")
    assert tables.workers(runs).figures == {"ratio": 2.0}
    assert "stopped after its 9 s" in tables.workers(runs).text
    assert tables.workers(runs[1:]).figures == {}


def form(name, members, rate, *, graph=False, loss=None):
    row = {"model": "net", "precision": "bf16", "form": name, "members": members, "graph": graph}
    return {**row, "rate": rate} | ({} if loss is None else {"loss": loss})


STACKED = [
    form("in turn", 8, 1000.0, loss=2.0),
    form("stacked", 8, 5000.0, loss=2.01),
    form("processes", 4, 2000.0),
    form("processes", 4, 2500.0, graph=True),
    {"model": "net", "form": "processes", "members": 8, "graph": True, "failed": "no memory"},
]


def test_a_stack_is_set_against_the_best_of_the_rest():
    table = load("on_gpu.stacked_table")
    found = table.stacked(STACKED)
    assert found.figures == pytest.approx({"net.gain": 2.0, "net.loss": 0.5})
    assert "pays" in found.text and "5.00" in found.text and "FAILED" in found.text
    slower = [form("stacked", 8, 2400.0, loss=2.0) if r is STACKED[1] else r for r in STACKED]
    assert "does not pay" in table.stacked(slower).text


@pytest.mark.parametrize("rows", [STACKED[:2], STACKED[2:], []])
def test_a_stack_without_a_rival_is_not_judged(rows):
    assert load("on_gpu.stacked_table").stacked(rows).figures == {}


@pytest.mark.parametrize(
    ("last", "counts"),
    [
        ("9 passed, 30 deselected in 3.20s", (9, 0, 0)),
        ("1 failed, 8 passed, 2 errors in 63.20s (0:01:03)", (8, 3, 0)),
        ("9 skipped, 30 deselected in 3.20s", (0, 0, 9)),
        ("ModuleNotFoundError: No module named 'pytest'", (0, 0, 0)),
    ],
)
def test_counts_of_pytest(last, counts):
    found = load("on_gpu.parts").counted(f"3 failed in words\n....\n{last}\n")
    assert tuple(found.values()) == counts


HANGS = """
import json, subprocess, sys, time
print(json.dumps({"row": 1}), flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"child": child.pid}), flush=True)
print('{"half a', flush=True)
time.sleep(600)
"""


def test_what_a_program_printed_counts_when_its_time_is_over(tmp_path):
    running = load("on_gpu.running")
    ran = running.run([sys.executable, "-c", HANGS], 2.0, log=tmp_path / "log")
    assert ran.rows[0] == {"row": 1} and len(ran.rows) == 2
    assert ran.trouble.startswith("stopped")
    # Nothing of it works on: what is left for a moment is an entry without a process.
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(ran.rows[1]["child"]).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_fails_says_why(tmp_path):
    running = load("on_gpu.running")
    ran = running.run([sys.executable, "-c", "1 / 0"], 60.0, log=tmp_path / "log")
    assert ran.rows == [] and "ZeroDivisionError" in ran.trouble
    assert running.run(["never"], 0.0, log=tmp_path / "log").trouble


def test_a_part_that_fails_stops_no_other(tmp_path, monkeypatch, capsys):
    gpu = load("gpu")

    def broken(job):
        raise RuntimeError("CUDA error: device-side assert triggered")

    def good(job):
        job.rows.append({"passed": 3})
        return gpu.Measured("a table", {"failed": 0.0, "passed": 3.0}), []

    parts = {"trainer": gpu.parts.Part(broken, 1.0), "tests": gpu.parts.Part(good, 1.0)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    there = gpu.Machine("cuda:0", "a GPU", "a GPU of the test")
    monkeypatch.setattr(gpu.machine, "look", lambda use_gpu: there)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path)])
    assert gpu.main() == 1
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["figures"]["tests"] == {"failed": 0.0, "passed": 3.0}
    assert found["rows"]["tests"] == [{"passed": 3}]
    assert [line for line in found["trouble"] if "device-side assert" in line]
    summary = (tmp_path / "summary.md").read_text()
    assert "CPU" not in summary and "met" in summary and "not measured" in summary
    assert "a table" in (tmp_path / "tests.md").read_text()
    assert "device-side assert" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("value", "at_most", "on_gpu", "verdict"),
    [
        (2.0, True, True, "met"),
        (2.1, True, True, "MISSED"),
        (2.0, False, True, "met"),
        (1.9, False, True, "MISSED"),
        (9.0, True, False, "not judged (CPU)"),
        (None, True, True, "not measured"),
    ],
)
def test_verdicts(value, at_most, on_gpu, verdict):
    target = load("on_gpu.targets").Target("all", "figure", "a figure", 2.0, at_most=at_most)
    figures = {} if value is None else {"figure": value}
    assert target.judge(figures, on_gpu=on_gpu)[1] == verdict


@pytest.mark.long
def test_the_reduced_form_on_a_cpu(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--out", tmp_path / "out", "--cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["trouble"] == [] and not found["on_gpu"]
    assert found["figures"]["tests"]["skipped"] > 0 == found["figures"]["tests"]["failed"]
    measured = {
        (row["model"], row["precision"]) for row in found["rows"]["trainer"] if "step" in row
    }
    assert measured == {(m, p) for m in ("net", "cnn", "siamese") for p in ("bf16", "fp32")}
    assert found["figures"]["workers"]["ratio"] > 0
    rates = {(row["form"], row["members"]) for row in found["rows"]["stacked"] if "rate" in row}
    assert rates >= {("stacked", 1), ("stacked", 3), ("in turn", 3), ("processes", 1)}
    assert found["figures"]["stacked"]["net.gain"] > 0
    assert any("accuracy" in row for row in found["rows"]["fast99"])
    for part in ("tests", "trainer", "fast99", "stacked", "workers", "summary"):
        text = (tmp_path / "out" / f"{part}.md").read_text()
        assert "these are no figures of a GPU" in text and "MISSED" not in text
