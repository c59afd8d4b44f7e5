"""The event log: what is written comes back, and no damage goes further than its line."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.core.event_log import EventLog, Tail, from_line, survey, to_line
from studies.core.events import Event

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
kinds = st.sampled_from(["study", "phase", "start", "report", "complete", "lost", "message"])
events = st.builds(
    Event,
    kind=kinds,
    phase=st.text(),
    trial=st.none() | st.integers(0),
    data=st.dictionaries(st.text(), json_values),
    time=st.floats(0, 4e9),
)


@given(events)
def test_an_event_comes_back_as_it_was_written(event):
    line = to_line(event)
    back = from_line(line)
    assert line.count(b"\n") == 1 and back is not None
    assert (back.kind, back.phase, back.trial) == (event.kind, _sent(event.phase), event.trial)
    assert json.dumps(back.data) == json.dumps(_sent(dict(event.data)))
    assert back.time == pytest.approx(event.time, abs=1e-4)


def _sent(value):
    """Lone surrogates, which are no text, become question marks."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


@given(st.binary())
def test_no_line_makes_a_reader_fail(line):
    found = from_line(line)
    assert found is None or isinstance(found, Event)


def log_of(path, *numbers):
    log = EventLog(path, pytest.fail)
    for number in numbers:
        log(Event(kind="start", phase="search", trial=number))
    log.close()


def test_what_is_no_json_is_written_all_the_same():
    data = {
        "nan": math.nan,
        "inf": -math.inf,
        "path": Path("x"),
        "pair": (1, 2),
        3: {"deep": math.nan},
    }
    back = from_line(to_line(Event(kind="report", phase="search", trial=1, data=data)))
    assert back is not None
    assert back.data == {
        "nan": None,
        "inf": None,
        "path": "x",
        "pair": [1, 2],
        "3": {"deep": None},
    }


def test_a_resumed_study_goes_on_in_the_same_log(tmp_path):
    path = tmp_path / "events.jsonl"
    log_of(path, 0, 1)
    log_of(path, 2)
    assert [event.trial for event in Tail(path).read()] == [0, 1, 2]


@pytest.mark.parametrize("cut", [1, 2, 20, 50])
def test_a_line_that_a_kill_cut_short_is_passed_over_and_counted(tmp_path, cut):
    path = tmp_path / "events.jsonl"
    log_of(path, 0, 1)
    path.write_bytes(path.read_bytes()[:-cut])
    log_of(path, 2)
    tail = Tail(path)
    found = [event.trial for event in tail.read()]
    # A line that lacks nothing but its end is whole.
    assert (found, tail.damaged) == (([0, 1, 2], 0) if cut == 1 else ([0, 2], 1))


def test_the_line_that_is_being_written_waits(tmp_path):
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert list(tail.read()) == []
    line = to_line(Event(kind="start", phase="search", trial=7))
    with path.open("ab", buffering=0) as file:
        file.write(line + line[:30])
        assert [event.trial for event in tail.read()] == [7]
        assert list(tail.read()) == []
        file.write(line[30:])
        assert [event.trial for event in tail.read()] == [7]
    assert tail.damaged == 0


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"time": 1, "kind": "unheard", "phase": "search", "trial": 1, "data": {}}',
        b'{"time": 1, "kind": "start", "phase": "search", "trial": "1", "data": {}}',
        b'{"time": "x", "kind": "start", "phase": "search", "trial": 1, "data": {}}',
        b'{"time": 1, "kind": [], "phase": "search", "trial": 1, "data": {}}',
        b"[" * 100_000,
    ],
)
def test_damaged_lines_are_passed_over_and_counted(tmp_path, line):
    path = tmp_path / "events.jsonl"
    log_of(path, 0)
    with path.open("ab") as file:
        file.write(line + b"\n")
    log_of(path, 1)
    tail = Tail(path)
    assert [event.trial for event in tail.read()] == [0, 1]
    assert tail.damaged == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_said_once(tmp_path):
    said = []
    path = tmp_path / "events.jsonl"
    path.symlink_to("/dev/full")
    log = EventLog(path, said.append, sync="python -m studies sync x")
    for number in range(3):
        log(Event(kind="start", phase="search", trial=number))
    log.close()
    assert log.lost == 3 and len(said) == 1
    assert "No space left on device" in said[0] and "studies sync x" in said[0]


def test_a_folder_that_is_gone_harms_nothing(tmp_path):
    said = []
    log = EventLog(tmp_path / "gone" / "events.jsonl", said.append)
    log(Event(kind="start", phase="search", trial=0))
    assert log.lost == 1 and "No such file" in said[0]


def test_survey(tmp_path):
    path = tmp_path / "events.jsonl"
    assert survey(path).over == frozenset()
    log = EventLog(path, pytest.fail)
    for kind, trial, data in [
        ("study", None, {"id": "a"}),
        ("start", 0, {}),
        ("complete", 0, {}),
        ("study", None, {"id": "b"}),
        ("start", 1, {}),
        ("failed", 1, {}),
        ("result", None, {}),
    ]:
        log(Event(kind=kind, phase="search", trial=trial, data=data))
    found = survey(path)
    assert found.over == {("search", 0), ("search", 1)}
    assert (found.study, found.concluded, found.damaged) == ("a", True, 0)
    log(Event(kind="pruned", phase="search", trial=2))
    log.close()
    assert not survey(path).concluded
